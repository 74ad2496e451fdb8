"""Load: requests sent by several clients at once, and when each was answered.

Closed loop: every client sends its next request when the last one is answered, so the load follows the system. Open
loop: requests are due at times of their own, whatever the system does, and a request that has to wait for a free
client is late from the moment it was due, not from the moment it was sent.

Source:
    Schroeder, Wierman and Harchol-Balter, Open Versus Closed: A Cautionary Tale, NSDI 2006. MLPerf's scenarios: single
    stream is a closed loop of one client, offline one of many, server an open loop with Poisson arrivals (Reddi et
    al., MLPerf Inference Benchmark, ISCA 2020, section IV).
"""

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np

__all__ = ["Clients", "Served", "poisson_arrivals_s"]

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Served(Generic[Reply]):
    """One answered request; times in seconds since the load began.

    Attributes:
        number: Position among the requests.
        begin_s: When it was sent, or due.
        end_s: When the answer was complete.
        reply: What came back.
    """

    number: int
    begin_s: float
    end_s: float
    reply: Reply

    @property
    def latency_s(self) -> float:
        """Time from begin to end."""
        return self.end_s - self.begin_s


class Clients:
    """A fixed number of clients, each a thread that is kept between loads. A context manager."""

    def __init__(self, n_clients: int) -> None:
        self.n_clients = n_clients
        self._pool = ThreadPoolExecutor(n_clients, "client")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def serve(
        self, send: Callable[[int], Reply], n_requests: int, *, due_s: Sequence[float] | None = None
    ) -> list[Served[Reply]]:
        """Send requests 0 ... n - 1 and return them in that order, all answered.

        Args:
            send: Sends one request and returns its reply; called by several threads at once.
            n_requests: How many.
            due_s: When each is due, ascending, in seconds from now; None for a closed loop.

        Raises:
            Exception: The first that `send` raised; the other clients stop after the request they are at.
        """
        numbers = itertools.count()
        has_failed = False
        start = time.perf_counter()

        def client() -> list[Served[Reply]]:
            nonlocal has_failed
            served = []
            while not has_failed and (number := next(numbers)) < n_requests:
                begin_s = time.perf_counter() - start
                if due_s is not None:
                    time.sleep(max(0.0, due_s[number] - begin_s))
                    begin_s = due_s[number]
                try:
                    reply = send(number)
                except BaseException:
                    has_failed = True
                    raise
                served.append(Served(number, begin_s, time.perf_counter() - start, reply))
            return served

        parts = [self._pool.submit(client) for _ in range(min(self.n_clients, n_requests))]
        return sorted((one for part in parts for one in part.result()), key=lambda one: one.number)


def poisson_arrivals_s(rate_hz: float, n: int, rng: np.random.Generator) -> list[float]:
    """Return the times of `n` arrivals of a Poisson process, in seconds, the first after a pause of its own."""
    return [float(due_s) for due_s in np.cumsum(rng.exponential(1 / rate_hz, n))]
