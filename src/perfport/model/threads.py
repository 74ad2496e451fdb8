"""One thread for small matrices, several for pieces of work that do not wait for each other.

The matrices of this project have hundreds of rows. Splitting their products over cores gains nothing
on an idle machine and loses a factor of ten on a busy one, where every product waits for a thread
that is not running. What can be split is work of a tenth of a second and more: a source model each.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

from threadpoolctl import OpenBLASController, ThreadpoolController  # type: ignore[import-untyped]  # ships no types

from perfport.processors import usable_threads

__all__ = ["each_in_threads", "one_thread"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Blocks:
    """How many `one_thread` blocks are open, in all threads, and what undoes their limit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_open = 0
        self._restore: Callable[[], object] = lambda: None

    def enter(self) -> None:
        with self._lock:
            if self._n_open == 0:
                self._restore = _pools().limit(limits=1, user_api="blas").restore_original_limits
            self._n_open += 1

    def leave(self) -> None:
        with self._lock:
            self._n_open -= 1
            if self._n_open == 0:
                # By itself the library lets no thread but the one that set the limit lift it.
                OpenBLASController.clear_controlling_thread(force=True)
                self._restore()
                OpenBLASController.clear_controlling_thread(force=True)


_BLOCKS = _Blocks()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, linear algebra uses one thread; the former number is restored when the last block ends.

    The number is the process's, not the thread's: blocks that overlap in several threads are one.
    """
    _BLOCKS.enter()
    try:
        yield
    finally:
        _BLOCKS.leave()


def each_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of every item, in their order, worked out on several threads; one item is a thread's work.

    There are as many threads as this process has processors, but no more than the environment grants to linear algebra
    (OMP_NUM_THREADS and its like): who runs many processes on a machine says so there.
    """
    todo = list(items)
    n_threads = min(_n_threads(), len(todo))
    with one_thread():
        if n_threads < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(n_threads, "perfport") as pool:
            return list(pool.map(function, todo))


@cache
def _n_threads() -> int:
    # The libraries would say 1 within `one_thread`; what the environment says does not depend on who asks first.
    granted = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")]
    return min([usable_threads(), *(int(number) for number in granted if number.isdigit() and int(number) > 0)])


@cache
def _pools() -> ThreadpoolController:
    # OPTIM: finding the libraries takes a millisecond, setting their threads a hundredth of it.
    return ThreadpoolController()
