"""Rows that are disturbed: made again, never averaged in, believed less by the models."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import perfport
from perfport.cli.environments import _MeasuredNow
from perfport.data.environment import Fact
from perfport.data.measurement import configuration_key
from perfport.data.store import Store
from perfport.measure.base import Configuration, Session
from perfport.measure.campaign import Campaign, Remeasure, measure_configurations, plan_campaign, run_campaign
from perfport.measure.campaign.spec import EnvironmentSpec
from perfport.measure.protocol import Protocol
from perfport.measure.quality.drift import drift_of
from perfport.measure.runner.rig import Rig, make_rig
from perfport.measure.systems.synthetic import SyntheticSystem

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measuring needs POSIX process groups")

TIME = "inference_time_s"
SHORT = Protocol(min_repetitions=10, max_repetitions=20, min_time_s=0.0)


class Disturbed(SyntheticSystem):
    """The planted system, whose every other run takes three times as long while it is disturbed.

    Args:
        n_times: How often each configuration is disturbed before it is left alone.
    """

    def __init__(self, n_times: int) -> None:
        super().__init__(n_options=4, seed=1, noise=0.001)
        self._n_times = n_times
        self._opened: Counter[str] = Counter()

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        key = configuration_key(configuration)
        self._opened[key] += 1
        with super().open(configuration, workload, seed=seed) as session:
            yield Beside(session) if self._opened[key] <= self._n_times else session


class Beside:
    """A session of virtual time beside something that takes the processor every other run."""

    inputs_per_run = 1

    def __init__(self, session: Session) -> None:
        self._session = session
        self._n = 0

    def run_once(self) -> None:
        self._n += 1
        self._session.run_once()

    def readings(self) -> dict[str, float]:
        factor = 3.0 if self._n % 2 else 1.0
        return {name: factor * value for name, value in self._session.readings().items()}  # type: ignore[attr-defined]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "perfport.db")


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    return tmp_path / "device.lock"


def rows(rig: Rig, n: int) -> pd.DataFrame:
    return rig.space.sample(n, np.random.default_rng(0))


def test_a_bad_row_is_made_again_and_the_good_one_counts_alone(store: Store, lease: Path) -> None:
    rig = make_rig("here", Disturbed(1))
    frame = rows(rig, 3)
    found = measure_configurations(rig, frame, store, protocol=SHORT, lease=lease)
    assert [made.attempt for made in found] == [1, 1, 1]
    assert {made.grade for made in found} == {"A"}
    stored = store.read()
    assert [made.attempt for made in stored] == [0, 0, 0, 1, 1, 1]
    bad = stored[0]
    assert bad.grade == "D"
    assert "the median is known to" in bad.grade_reasons[0]
    dataset = store.dataset("here", space=rig.space)
    np.testing.assert_allclose(
        dataset.responses[TIME], SyntheticSystem(n_options=4, seed=1).truth(dataset.configurations), rtol=0.01
    )
    assert dataset.notes is not None
    assert dataset.notes["grade"].tolist() == ["A"] * 3
    assert measure_configurations(rig, frame, store, protocol=SHORT, lease=lease) == found
    assert len(store.read()) == 6


def test_what_stays_bad_is_kept_with_its_grade_and_an_error_to_match(store: Store, lease: Path) -> None:
    rig = make_rig("here", Disturbed(2))
    (found,) = measure_configurations(rig, rows(rig, 1), store, protocol=SHORT, lease=lease)
    assert found.grade == "D"
    assert len(store.read()) == 2  # bounded: once more, not for ever
    assert store.dataset("here", space=rig.space).log_se[TIME][0] > 0.1


def test_a_machine_that_is_always_loud_is_not_tried_for_ever(store: Store, lease: Path) -> None:
    rig = make_rig("here", Disturbed(100))
    frame = rows(rig, 9)
    measure_configurations(rig, frame, store, protocol=SHORT, lease=lease)
    assert Counter(made.attempt for made in store.read()) == {0: 9, 1: 5}
    measure_configurations(rig, frame, store, protocol=SHORT, lease=lease)
    assert len(store.read()) == 14


def test_a_target_measured_on_the_way_follows_the_campaign(store: Store) -> None:
    rig = make_rig("here", Disturbed(2))
    frame = rows(rig, 1)
    environments = (EnvironmentSpec(name="here", system="synthetic"),)
    for times, attempts in ((0, [0]), (3, [0, 1, 2])):
        campaign = Campaign(name="c", environments=environments, remeasure=times, protocol=SHORT)
        _MeasuredNow(frame, rig, campaign, store).take(np.arange(1))
        assert [made.attempt for made in store.read()] == attempts


def test_how_often_and_below_which_grade_is_for_the_user_to_say(store: Store, lease: Path) -> None:
    rig = make_rig("here", Disturbed(2))
    frame = rows(rig, 1)
    measure_configurations(rig, frame, store, protocol=SHORT, lease=lease, remeasure=Remeasure(times=0))
    assert len(store.read()) == 1
    (found,) = measure_configurations(rig, frame, store, protocol=SHORT, lease=lease, remeasure=Remeasure(times=3))
    assert [made.attempt for made in store.read()] == [0, 1, 2]
    assert (found.attempt, found.grade) == (2, "A")


def test_sentinels_come_in_every_environment_and_tell_of_no_drift_in_virtual_time(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(
        """
        name: watched
        environments:
        - {name: here, system: synthetic, settings: {seed: 1, n_options: 5}}
        - {name: there, system: synthetic, settings: {seed: 2, n_options: 5}}
        configurations: 20
        sentinel_every: 5
        protocol: {max_repetitions: 20}
        """
    )
    plan = plan_campaign(campaign)
    assert (plan.n_runs, plan.n_sentinels) == (2 * (20 + 4), 8)
    first = {task.rig.environment.name: task.configuration for task in reversed(plan.tasks) if task.block == 0}
    for task in plan.tasks:
        if task.block >= 500:
            assert task.configuration == task.rig.space.default_configuration() == first[task.rig.environment.name]
    run_campaign(campaign, store, lease=lease)
    drift = drift_of(store.read(campaign="watched"))
    assert drift is not None
    assert len(drift.at_s) == 2 * (1 + 4)
    assert max(map(abs, drift.range_pct)) < 5
    assert len(store.dataset("here")) == 20  # a sentinel is no row of its own


def test_a_row_that_is_known_badly_moves_the_model_less() -> None:
    system = SyntheticSystem(n_options=5, seed=3, noise=0.0)
    source_rows = system.space().sample(60, np.random.default_rng(1))
    truth = system.truth(source_rows)
    source = perfport.Dataset.from_frame(
        source_rows.assign(inference_time_s=truth), properties=[TIME], space=system.space()
    )
    target = source.take(np.arange(10))
    wrong = target.responses[TIME].copy()
    wrong[4] *= 1.6
    error = np.where(np.arange(10) == 4, 0.5, 0.005)
    off = []
    for log_se in (np.full(10, 0.005), error):
        told = replace(target, responses={TIME: wrong}, log_se={TIME: log_se})
        model = perfport.transfer(sources=[source], target=told, property=TIME, seed=0)
        off.append(float(np.mean(np.abs(np.log(model.predict(source_rows[10:].reset_index(drop=True)) / truth[10:])))))
    assert off[1] < off[0]
