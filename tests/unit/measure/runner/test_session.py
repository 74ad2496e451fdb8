"""One configuration from open to close, without a child."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfport.data.environment import Fact
from perfport.data.measurement import Status
from perfport.measure.base import Configuration, Session
from perfport.measure.protocol import Protocol
from perfport.measure.runner.rig import make_rig
from perfport.measure.runner.runner import Runner
from perfport.measure.runner.session import Hooks, measure_in_session
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.testing.fakes import FakeMeter, FaultySystem

QUICK = Protocol(warm_up_max_s=0.0, min_time_s=0.0, budget_s=0.01, min_repetitions=3, max_repetitions=3)


class ReportingSystem(SyntheticSystem):
    """Reports what it is told to."""

    def __init__(self, **readings: float) -> None:
        super().__init__(n_options=1)
        self._readings = readings

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        yield ReportingSession(self._readings)


class ReportingSession:
    inputs_per_run = 1

    def __init__(self, readings: dict[str, float]) -> None:
        self._readings = readings

    def run_once(self) -> None:
        pass

    def readings(self) -> dict[str, float]:
        return self._readings


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ({"inference_time_s": float("nan")}, "the system reported inference_time_s = nan"),
        ({"inference_time_s": 1.0, "energy_j": -2.0}, "the system reported energy_j = -2"),
        ({"latency": 1.0}, "reports no inference_time_s, only latency"),
    ],
)
def test_readings_that_cannot_be_true_are_a_failure_not_a_number(readings: dict[str, float], told: str) -> None:
    outcome = measure_in_session(ReportingSystem(**readings), {}, {}, protocol=QUICK)
    assert outcome.status is Status.FAILED
    assert told in outcome.reason


def test_stages_come_in_order_and_the_window_last(tmp_path: Path) -> None:
    told: list[str] = []
    hooks = Hooks(stage=told.append, window=lambda session: told.append(f"window of {session.inputs_per_run}"))
    reference = tmp_path / "reference.npz"
    for _ in range(2):
        measure_in_session(FaultySystem(), {"fault": "none"}, {}, protocol=QUICK, reference=reference, hooks=hooks)
    assert told == ["reference", *["open", "check", "time", "window", "window of 1"] * 2]


class Batches:
    """A session of two inputs a run that spends 0.15 s, and may say itself what an input took."""

    inputs_per_run = 2

    def __init__(self, time_s: float | None, run_s: float = 0.15) -> None:
        self._time_s = time_s
        self._run_s = run_s

    def run_once(self) -> None:
        time.sleep(self._run_s)

    def added_readings(self) -> dict[str, float | None]:
        latency: dict[str, float | None] = {"latency_s": 0.2}
        return latency if self._time_s is None else latency | {"inference_time_s": self._time_s}


class BatchSystem(SyntheticSystem):
    """Opens the session it was given."""

    def __init__(self, session: Session) -> None:
        super().__init__(n_options=1)
        self._session = session

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        yield self._session


def test_timed_runs_are_followed_where_they_are_long_and_the_clock_counts() -> None:
    told: list[tuple[float | None, int]] = []
    hooks = Hooks(run=lambda last_s, inputs: told.append((last_s, inputs)))
    outcome = measure_in_session(BatchSystem(Batches(None)), {}, {}, protocol=QUICK, hooks=hooks)
    assert told == [(None, 2), *((last_s, 2) for last_s in outcome.repetitions["inference_time_s"].tolist()[:-1])]
    told.clear()
    # What an input took is not what the run took, or a run is too short to be disturbed.
    for session in (Batches(0.01), Batches(None, run_s=0.001)):
        measure_in_session(BatchSystem(session), {}, {}, protocol=QUICK, hooks=hooks)
    measure_in_session(SyntheticSystem(n_options=1, base_s=9.0), {}, {}, protocol=QUICK, hooks=hooks)
    assert told == []


def test_a_failed_configuration_has_no_window(tmp_path: Path) -> None:
    told: list[str] = []
    hooks = Hooks(window=lambda _: told.append("window"))
    outcome = measure_in_session(FaultySystem(), {"fault": "raise"}, {}, protocol=QUICK, hooks=hooks)
    assert (outcome.status, told) == (Status.FAILED, [])


def test_an_unknown_option_is_invalid_not_failed() -> None:
    outcome = measure_in_session(SyntheticSystem(n_options=1), {"option_9": 1}, {}, protocol=QUICK)
    assert outcome.status is Status.INVALID


def test_virtual_time_costs_virtual_seconds_and_uses_no_energy() -> None:
    system = SyntheticSystem(n_options=1, base_s=100.0, noise=0.0, effects={})
    rig = make_rig("virtual", system)
    with Runner(QUICK, meters=[FakeMeter()]) as runner:
        outcome = runner.measure(rig, rig.space.default_configuration())
    assert outcome.absent == {"energy_j": "the system runs nothing"}
    assert outcome.cost_s >= 3 * 100.0
