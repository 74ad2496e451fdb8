"""One thread for small matrices.

The matrices of this project have hundreds of rows. Splitting their products over cores gains nothing
on an idle machine and loses a factor of ten on a busy one, where every product waits for a thread
that is not running.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # ships no types

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, linear algebra uses one thread; the former number is restored afterwards."""
    with _pools().limit(limits=1, user_api="blas"):
        yield


@cache
def _pools() -> ThreadpoolController:
    # OPTIM: finding the libraries takes a millisecond, setting their threads a hundredth of it.
    return ThreadpoolController()
