"""Load: closed and open loops."""

import threading
import time

import numpy as np
import pytest

from perfport.measure.systems.load import Clients, poisson_arrivals_s


def test_every_request_is_sent_once_and_returned_in_order() -> None:
    with Clients(4) as clients:
        for n in (1, 3, 50):
            served = clients.serve(lambda number: number * number, n)
            assert [(one.number, one.reply) for one in served] == [(number, number * number) for number in range(n)]
            assert all(one.latency_s >= 0 for one in served)


def test_no_more_requests_are_in_flight_than_there_are_clients() -> None:
    in_flight, most = 0, 0
    lock = threading.Lock()

    def send(_number: int) -> None:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        time.sleep(0.002)
        with lock:
            in_flight -= 1

    with Clients(3) as clients:
        clients.serve(send, 30)
    assert most <= 3


def test_a_request_that_waits_for_a_client_is_late_from_when_it_was_due() -> None:
    def send(_number: int) -> None:
        time.sleep(0.02)

    with Clients(1) as clients:
        served = clients.serve(send, 5, due_s=[0.0] * 5)
    for place, one in enumerate(served, start=1):
        assert one.begin_s == 0
        assert one.latency_s >= 0.02 * place


def test_the_first_failure_ends_the_load() -> None:
    sent = []

    def send(number: int) -> None:
        sent.append(number)
        if number == 3:
            raise ValueError("the server is gone")

    with Clients(2) as clients:
        with pytest.raises(ValueError, match="gone"):
            clients.serve(send, 1_000_000)
        assert len(sent) < 1_000_000
        assert len(clients.serve(lambda number: number, 4)) == 4  # and the clients can be used again


def test_arrivals_are_a_poisson_process() -> None:
    due_s = np.array(poisson_arrivals_s(50.0, 20_000, np.random.default_rng(0)))
    between_s = np.diff(due_s)
    assert between_s.min() > 0
    assert between_s.mean() == pytest.approx(1 / 50, rel=0.03)
    assert between_s.std() == pytest.approx(1 / 50, rel=0.03)  # of an exponential, its mean
