"""Signals that ask a program to end, taken so that it ends in order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ending_in_order"]

_NAMES = ("SIGTERM", "SIGHUP")  # the second one does not exist on Windows


@contextmanager
def ending_in_order() -> Iterator[Callable[[], None]]:
    """Turn a request to end (`kill`, `docker stop`, a terminal that closes) into `SystemExit` within the block.

    So whatever is open is closed, restored and ended on the way out. The exit code is 128 plus the number of
    the signal, as shells have it. Nothing changes for a signal that is ignored already (by `nohup`), and
    nothing at all outside the main thread, which alone may set handlers.

    Yields:
        What to call between pieces of work: it raises `SystemExit` if there was a request. C code may swallow what
        is raised while it runs (CPython's `PyObject_HasAttr` does); leaving the block makes up for that, too.
    """
    asked: list[int] = []

    def end_if_asked() -> None:
        if asked:
            raise SystemExit(128 + asked[0])

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not cut the way out short
        asked.append(number)
        end_if_asked()

    if threading.current_thread() is not threading.main_thread():
        yield end_if_asked
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield end_if_asked
        end_if_asked()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
