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


def test_a_ramp_is_integrated_exactly_whenever_the_thread_happens_to_read() -> None:
    begin_s = time.perf_counter()
    sampler = PowerSampler(lambda: {"board": 5 + time.perf_counter() - begin_s, "still": 2.0}, 0.002)
    sampler.start()
    time.sleep(0.05)
    found = sampler.stop()
    first_s = sampler._times_s[0] - begin_s
    last_s = sampler._times_s[-1] - begin_s
    exact_j = 5 * (last_s - first_s) + (last_s**2 - first_s**2) / 2
    # The reading falls between the two clock readings around it, whose middle is its time.
    assert found.energies_j["board"] == pytest.approx(exact_j, rel=1e-2)
    assert found.energies_j["still"] == pytest.approx(2 * found.window_s)


def test_what_reading_costs_is_told() -> None:
    def busy() -> dict[str, float]:
        sum(range(20_000))
        return {"board": 1.0}

    sampler = PowerSampler(busy, 0.001)
    sampler.start()
    time.sleep(0.03)
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
