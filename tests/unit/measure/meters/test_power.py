"""Integrated power: known answers, the cost of reading, and failures in between."""

import itertools
import threading
import time

import pytest

from perfport.errors import MeterUnavailableError
from perfport.measure.meters.power import PowerSampler, trapezoid_j


def test_power_that_is_linear_in_time_is_integrated_exactly() -> None:
    times_s = [0.0, 0.3, 0.4, 2.0]
    assert trapezoid_j(times_s, [1 + 3 * t for t in times_s]) == pytest.approx(2 + 3 * 2.0**2 / 2)


def test_a_ramp_is_integrated_exactly_however_often_the_thread_reads() -> None:
    ticks = itertools.count()
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s = float(next(ticks))
        return now_s

    # The sensor is read half-way between the two looks at the clock, which is the time the reading gets.
    sampler = PowerSampler(lambda: {"ramp": 5 + 2 * (now_s + 0.5), "still": 3.0}, 0.001, clock=clock)
    sampler.start()
    time.sleep(0.02)
    found = sampler.stop()
    first_s, last_s = 0.5, 0.5 + found.window_s
    assert found.window_s == 2 * (found.n_readings - 1)
    assert found.energies_j["ramp"] == pytest.approx(5 * found.window_s + last_s**2 - first_s**2)
    assert found.energies_j["still"] == pytest.approx(3 * found.window_s)


def test_what_reading_costs_is_told() -> None:
    calls = itertools.count()
    has_read = threading.Event()

    def busy() -> dict[str, float]:
        sum(range(20_000))
        if next(calls) == 3:
            has_read.set()
        return {"board": 1.0}

    sampler = PowerSampler(busy, 0.001)
    sampler.start()
    assert has_read.wait(30)
    told = sampler.stop().provenance()
    assert told["kind"] == "integrated power"
    assert isinstance(told["sampling_cpu_s"], float)
    assert told["sampling_cpu_s"] > 0
    assert isinstance(told["n_readings"], int)
    assert told["n_readings"] >= 3


def test_a_reading_that_fails_in_between_makes_no_number() -> None:
    calls = itertools.count()
    has_failed = threading.Event()

    def fail_once() -> dict[str, float]:
        if next(calls) == 2:
            has_failed.set()
            raise OSError("the bus is busy")
        return {"board": 1.0}

    sampler = PowerSampler(fail_once, 0.001)
    sampler.start()
    assert has_failed.wait(30)
    with pytest.raises(MeterUnavailableError, match="bus is busy"):
        sampler.stop()


def test_it_can_be_started_again() -> None:
    sampler = PowerSampler(lambda: {"board": 3.0}, 0.001)
    for _ in range(2):
        sampler.start()
        found = sampler.stop()
        assert found.energies_j["board"] == pytest.approx(3 * found.window_s)
