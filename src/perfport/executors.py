"""Running independent tasks: the one protocol behind which a process pool or a cluster stands.

An executor takes a function and tasks, and gives back (index, outcome) in any order. An exception
is an outcome too: one broken task never ends the others. Results must not depend on the number of
workers, so tasks carry their own seed (`seeding.rng_for`).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Generic, Protocol, TypeVar

__all__ = ["Executor", "Outcome", "ProcessExecutor", "SerialExecutor"]

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What became of one task.

    Attributes:
        value: The result; None if the task raised.
        error: The exception; None if the task returned.
    """

    value: Result | None = None
    error: Exception | None = None

    def unwrap(self) -> Result:
        """Return the value, or raise the task's exception."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None is a legal result of a task that returned


class Executor(Protocol):
    """Runs tasks; the order of outcomes is free, the set of indices is not."""

    def run(self, fn: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome[Result]]]:
        """Yield (index of the task, outcome) once for every task."""
        ...


def _attempt(fn: Callable[[Task], Result], task: Task) -> Outcome[Result]:
    try:
        return Outcome(value=fn(task))
    except Exception as error:  # noqa: BLE001  # a task's exception is data: the other tasks go on
        return Outcome(error=error)


class SerialExecutor:
    """One task after the other, in this process."""

    def run(self, fn: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome[Result]]]:
        """Yield outcomes in the order of the tasks."""
        for index, task in enumerate(tasks):
            yield index, _attempt(fn, task)


@dataclass(frozen=True, slots=True)
class ProcessExecutor:
    """Several tasks at once, each in a fresh-started worker process.

    Workers end, in the middle of a task, when nobody listens any more: when the iterator is closed or
    raises, and when the process that started them is gone, however it ended.

    Attributes:
        n_workers: Number of processes, at least 1.
    """

    n_workers: int

    def run(self, fn: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome[Result]]]:
        """Yield outcomes as they arrive; `fn` and the tasks must be importable in a new process."""
        # NOTE: "spawn", since a fork of a process with running BLAS threads may deadlock.
        context = get_context("spawn")
        lifeline, hold = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(self.n_workers, mp_context=context, initializer=_begin_worker, initargs=(lifeline,))
        try:
            futures = {pool.submit(_attempt, fn, task): index for index, task in enumerate(tasks)}
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    yield futures[future], future.result()
                elif isinstance(error, Exception):
                    yield futures[future], Outcome(error=error)
                else:
                    raise error
        except BaseException:
            # Whoever stops listening wants nothing more, not even what has begun.
            hold.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            hold.close()
            lifeline.close()


def _begin_worker(lifeline: Connection) -> None:
    # An interrupt from the keyboard reaches every process of a terminal; the one that started us decides.
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end of the pipe is closed: on purpose, or by the kernel with its owner."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
