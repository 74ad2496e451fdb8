"""A request to end unwinds the block it arrives in; what `nohup` ignores stays ignored."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from perfport.signals import ending_in_order

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to oneself")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)  # these tests may themselves run under `nohup`
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_unwinds_the_block(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    unwound = []
    with pytest.raises(SystemExit) as ended, ending_in_order():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # a second one does not cut the way out short
            unwound.append(number)
    assert ended.value.code == 128 + number
    assert unwound == [number]
    assert signal.getsignal(number) is before


def swallowing(number: signal.Signals) -> None:
    """Do as C code that asks whether an object has an attribute."""
    with suppress(SystemExit):
        os.kill(os.getpid(), number)


def test_a_request_that_a_library_swallows_is_heard_between_pieces_of_work() -> None:
    done = []
    with pytest.raises(SystemExit) as ended, ending_in_order() as end_if_asked:
        for piece in range(3):
            end_if_asked()
            done.append(piece)
            swallowing(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert done == [0]


def test_a_request_that_a_library_swallows_is_heard_when_the_block_is_left() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ending_in_order():
        swallowing(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ending_in_order():
        os.kill(os.getpid(), signal.SIGHUP)


def test_a_thread_leaves_handlers_alone() -> None:
    found = []

    def look() -> None:
        with ending_in_order():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
