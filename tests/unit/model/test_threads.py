import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]  # ships no types

from perfport.model import threads
from perfport.model.threads import each_in_threads, one_thread


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def n_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(threads, "_n_threads", lambda: request.param)
    return int(request.param)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_results_come_in_the_order_of_the_items(n_threads: int) -> None:
    done = threading.Event()

    def slow_first(item: int) -> int:
        # With several threads the first item ends last.
        if item == 0 and n_threads > 1:
            assert done.wait(60)
        if item == 1:
            done.set()
        return item * item

    assert each_in_threads(slow_first, range(5)) == [0, 1, 4, 9, 16]
    assert each_in_threads(slow_first, []) == []


def test_linear_algebra_keeps_to_one_thread_until_the_last_item_is_done(n_threads: int) -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()

    def inside(_: int) -> set[int]:
        with one_thread():
            pass
        return blas_threads()

    assert each_in_threads(inside, range(6)) == [{1}] * 6
    assert blas_threads() == before


def test_blocks_that_overlap_in_several_threads_are_one() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()
    is_inside, may_leave = threading.Event(), threading.Event()

    def long_block() -> None:
        with one_thread():
            is_inside.set()
            assert may_leave.wait(60)

    with one_thread():
        other = threading.Thread(target=long_block)
        other.start()
        assert is_inside.wait(60)
    assert blas_threads() == {1}
    may_leave.set()
    other.join(60)
    assert blas_threads() == before


def test_an_error_of_one_item_is_raised(n_threads: int) -> None:
    def fails_at_two(item: int) -> float:
        return 1 / (item - 2)

    with pytest.raises(ZeroDivisionError):
        each_in_threads(fails_at_two, range(4))


@pytest.mark.parametrize(("granted", "expected"), [("1", 1), ("0", None), ("many", None)])
def test_the_environment_bounds_the_threads(
    monkeypatch: pytest.MonkeyPatch, granted: str, expected: int | None
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    free = threads._n_threads.__wrapped__()
    monkeypatch.setenv("OMP_NUM_THREADS", granted)
    assert threads._n_threads.__wrapped__() == (expected or free)
