"""The inner loop of measuring, in virtual time."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from scipy.stats import binom

from perfport.measure.meters.clock import ClockMeter
from perfport.measure.protocol import Protocol
from perfport.measure.runner.timing import (
    dependence,
    interval_ranks,
    relative_interval_width,
    relative_trend,
    run_reader,
    time_session,
)


class ScriptedSession:
    """Reports one time after the other."""

    inputs_per_run = 1

    def __init__(self, times_s: Iterator[float]) -> None:
        self._times_s = times_s
        self._last_s = 0.0
        self.runs = 0

    def run_once(self) -> None:
        self.runs += 1
        self._last_s = next(self._times_s)

    def readings(self) -> dict[str, float]:
        return {"inference_time_s": self._last_s}


class BatchSession:
    inputs_per_run = 4

    def run_once(self) -> None:
        pass


class FakeClockMeter(ClockMeter):
    def stop(self) -> Mapping[str, float]:
        return {"inference_time_s": 8.0}


def timed(times_s: Iterator[float], protocol: Protocol, check_alive: Callable[[], None] = lambda: None):  # type: ignore[no-untyped-def]
    session = ScriptedSession(times_s)
    return time_session(run_reader(session, ClockMeter()), protocol, check_alive=check_alive), session


def test_warm_up_ends_when_two_windows_agree_and_its_runs_are_not_counted() -> None:
    times = itertools.chain([0.9, 0.5, 0.4, 0.2, 0.1, 0.1], itertools.repeat(0.1))
    timing, session = timed(times, Protocol(warm_up_max_s=100, min_time_s=0, budget_s=10))
    assert timing.is_stable
    assert timing.warm_up_runs == 9  # medians 0.5, 0.1, 0.1
    assert session.runs == 9 + len(timing.repetitions["inference_time_s"])
    assert set(timing.repetitions["inference_time_s"]) == {0.1}


def test_warm_up_that_never_settles_ends_with_its_time_and_says_so() -> None:
    times = (0.1 * 2**k for k in itertools.count())
    timing, _ = timed(times, Protocol(warm_up_max_s=1, min_time_s=0, budget_s=1, min_repetitions=1))
    assert not timing.is_stable


def test_equal_repetitions_stop_at_the_fewest_that_make_an_interval() -> None:
    timing, _ = timed(itertools.repeat(0.1), Protocol(min_repetitions=3, min_time_s=0, budget_s=50))
    # Six repetitions are the fewest whose extremes cover the median with 95 %.
    assert (timing.stopped_by, len(timing.repetitions["inference_time_s"])) == ("interval", 6)
    assert timing.interval_width == 0


def test_noisy_repetitions_stop_at_the_budget_with_every_one_kept() -> None:
    rng = np.random.default_rng(0)
    times = (float(value) for value in iter(lambda: rng.uniform(0.05, 0.15), None))
    timing, _ = timed(times, Protocol(budget_s=2.0, warm_up_max_s=0.2))
    values = timing.repetitions["inference_time_s"]
    assert timing.stopped_by == "budget"
    assert sum(values[:-1]) < 2.0 <= sum(values)
    assert timing.interval_width > 0.02


def test_short_runs_go_on_for_the_least_time() -> None:
    timing, _ = timed(itertools.repeat(1e-3), Protocol(min_time_s=0.2))
    assert sum(timing.repetitions["inference_time_s"]) >= 0.2


def test_the_fewest_repetitions_are_made_whatever_they_cost() -> None:
    timing, _ = timed(itertools.repeat(5.0), Protocol(min_repetitions=7, budget_s=1.0))
    assert len(timing.repetitions["inference_time_s"]) == 7


def test_most_repetitions_bound_a_free_run() -> None:
    times = itertools.cycle([1e-9, 2e-9])
    timing, _ = timed(times, Protocol(min_time_s=0, max_repetitions=50, min_repetitions=5))
    assert (timing.stopped_by, len(timing.repetitions["inference_time_s"])) == ("max_repetitions", 50)


def test_a_loop_whose_parent_is_gone_ends() -> None:
    def gone() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        timed(itertools.repeat(0.1), Protocol(), check_alive=gone)


def test_readings_are_per_input() -> None:
    read = run_reader(BatchSession(), FakeClockMeter())
    assert read() == {"inference_time_s": 2.0}


class ReportingSession(BatchSession):
    def added_readings(self) -> dict[str, float | None]:
        return {"latency_s": 7.0, "inference_time_s": None}


def test_what_a_session_adds_is_final_and_replaces_the_clock() -> None:
    assert run_reader(ReportingSession(), FakeClockMeter())() == {"latency_s": 7.0}


@pytest.mark.parametrize("n", [6, 7, 10, 25, 100, 999])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_ranks_are_the_tightest_that_cover_the_median(n: int, confidence: float) -> None:
    ranks = interval_ranks(n, confidence)
    assert ranks is not None
    lower, upper = ranks
    assert upper == n + 1 - lower
    assert 2 * binom.cdf(lower - 1, n, 0.5) <= 1 - confidence
    assert 2 * binom.cdf(lower, n, 0.5) > 1 - confidence


def test_many_repetitions_use_the_normal_approximation() -> None:
    ranks = interval_ranks(4001, 0.95)
    assert ranks is not None
    assert abs(ranks[0] - float(binom.ppf(0.025, 4001, 0.5))) <= 1


def test_few_repetitions_have_no_interval() -> None:
    assert interval_ranks(5, 0.95) is None
    assert math.isinf(relative_interval_width([1.0, 1.0], 0.95))


def wandering(n: int, rng: np.random.Generator, persistence: float) -> list[float]:
    """Repetitions whose logarithm is autoregressive: interference comes and goes."""
    noise = rng.standard_normal(n)
    for index in range(1, n):
        noise[index] = persistence * noise[index - 1] + math.sqrt(1 - persistence**2) * noise[index]
    return [float(value) for value in np.exp(0.1 * noise)]


@pytest.mark.parametrize(("persistence", "least"), [(0.0, 0.93), (0.8, 0.86)])
def test_the_interval_covers_the_median_also_where_repetitions_depend_on_each_other(
    persistence: float, least: float
) -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        values = wandering(200, rng, persistence)
        # The width alone is told; an interval of that width around the median covers as often.
        half = relative_interval_width(values, 0.95) / 2
        covered += abs(1 / float(np.median(values)) - 1) <= half
    assert covered / 400 >= least


def test_it_is_as_wide_as_that_of_a_block_bootstrap() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = [], []
    for _ in range(20):
        values = np.array(wandering(200, rng, 0.8))
        starts = rng.integers(0, 180, (400, 10))
        resampled = values[(starts[:, :, None] + np.arange(20)).reshape(400, -1)]
        lower, upper = np.quantile(np.median(resampled, axis=1), [0.025, 0.975])
        theirs.append((upper - lower) / float(np.median(values)))
        ours.append(relative_interval_width(values.tolist(), 0.95))
    assert float(np.median(ours)) == pytest.approx(float(np.median(theirs)), rel=0.3)


def test_independent_repetitions_are_hardly_ever_called_dependent() -> None:
    rng = np.random.default_rng(2)
    found = [dependence(wandering(100, rng, 0.0)) for _ in range(200)]
    assert float(np.mean(found)) < 1.1
    assert dependence([1.0] * 10) == 1.0


def test_a_trend_is_told_and_chance_is_not() -> None:
    rng = np.random.default_rng(3)
    steady = [wandering(100, rng, 0.0) for _ in range(100)]
    assert sum(relative_trend(values) != 0 for values in steady) <= 5
    rising = [value * (1.0 if index < 50 else 1.2) for index, value in enumerate(steady[0])]
    assert relative_trend(rising) == pytest.approx(0.2, abs=0.05)
    assert relative_trend([1.0, 2.0, 3.0]) == 0.0
