"""A campaign end to end on the planted system: resumed, stopped, shared, refused."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from perfport.advise.recommendation.search import Search
from perfport.advise.recommendation.settling import Settling
from perfport.cli.environments import Measured, rig_of_campaign
from perfport.data.measurement import Measurement, Property, Status
from perfport.data.store import Store
from perfport.errors import MeasurementError, MissingPackageError, UsageError
from perfport.measure.base import Meter
from perfport.measure.campaign import Campaign, Progress, measure_configurations, plan_campaign, run_campaign
from perfport.measure.campaign.plan import Task
from perfport.measure.campaign.side_by_side import measure_side_by_side
from perfport.measure.campaign.spec import EnvironmentSpec
from perfport.measure.machine.lease import device_lease
from perfport.measure.protocol import Protocol
from perfport.measure.quality.noise import replicate_error
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.transfer.bounds import is_bound
from perfport.verify import searched, settled

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measuring needs POSIX process groups")

YAML = """
name: planted
environments:
- {name: here, system: synthetic, settings: {seed: 1, n_options: 5}}
- {name: there, system: synthetic, settings: {seed: 2, n_options: 5}}
configurations: 12
replicates: 4
protocol: {max_repetitions: 8}
"""


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    return tmp_path / "device.lock"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "perfport.db")


MeasurementKey = tuple[str, str, str, int, int]


def keys(store: Store) -> list[MeasurementKey]:
    return [found.key for found in store.read()]


def test_a_campaign_is_planned_measured_and_read_back(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(YAML)
    plan = plan_campaign(campaign, store)
    assert (plan.n_runs, plan.n_done, plan.n_left) == (32, 0, 32)
    assert 0 < plan.estimate.low_s < plan.estimate.typical_s < plan.estimate.high_s
    told: list[Progress] = []
    result = run_campaign(campaign, store, progress=told.append, lease=lease)
    assert (result.n_measured, result.stopped_by, result.is_finished) == (32, "finished", True)
    assert result.counts == {Status.OK: 32}
    assert [step.n_done for step in told if step.measurement is not None] == list(range(1, 33))
    found = store.read(campaign="planted")
    assert [measurement.key for measurement in found] == [task_key(task, campaign) for task in plan.tasks]
    system = SyntheticSystem(seed=1, n_options=5)
    dataset = store.dataset("here")
    assert len(dataset) == 12
    assert dataset.properties["inference_time_s"].unit == "s"
    ratios = dataset.responses["inference_time_s"] / system.truth(dataset.configurations)
    np.testing.assert_allclose(ratios, 1.0, atol=0.05)


def task_key(task: Task, campaign: Campaign) -> MeasurementKey:
    fingerprint, configuration, block = task.key
    return fingerprint, configuration, campaign.protocol.key, block, task.attempt


def test_environments_with_spaces_of_their_own_keep_them_in_the_store(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(
        """
        name: two spaces
        environments:
        - {name: small, system: synthetic, settings: {seed: 1, n_options: 3}, levels: {option_2: [1, 8]}}
        - {name: large, system: synthetic, settings: {seed: 2, n_options: 4}}
        configurations: 8
        protocol: {max_repetitions: 8}
        """
    )
    run_campaign(campaign, store, lease=lease)
    for rig in campaign.rigs():
        assert store.dataset(rig.environment.name).space == rig.space


def test_a_finished_campaign_measures_nothing_again(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(YAML)
    run_campaign(campaign, store, lease=lease)
    before = store.read()
    result = run_campaign(campaign, store, lease=lease)
    assert (result.n_before, result.n_measured, result.is_finished) == (32, 0, True)
    assert store.read() == before


def test_a_campaign_cut_into_pieces_equals_an_uninterrupted_one(tmp_path: Path, lease: Path) -> None:
    campaign = Campaign.from_yaml(YAML)
    whole, pieces = Store.open(tmp_path / "whole.db"), Store.open(tmp_path / "pieces.db")
    run_campaign(campaign, whole, lease=lease)
    while not run_campaign(campaign, pieces, max_runs=5, lease=lease).is_finished:
        pass
    assert [numbers(found) for found in pieces.read()] == [numbers(found) for found in whole.read()]


def numbers(found: Measurement) -> tuple[object, ...]:
    return (*found.key, *((name, *values.tolist()) for name, values in sorted(found.repetitions.items())))


def test_environments_take_turns_and_replicates_come_in_a_later_block() -> None:
    plan = plan_campaign(Campaign.from_yaml(YAML))
    first, second = plan.tasks[:24], plan.tasks[24:]
    assert {task.block for task in first} == {0}
    assert {task.block for task in second} == {1}
    for left, right in zip(first[::2], first[1::2], strict=True):
        assert {left.rig.environment.name, right.rig.environment.name} == {"here", "there"}
        # Equal spaces: the same configuration is measured in both at about the same time.
        assert left.configuration == right.configuration
    default = first[0].rig.space.default_configuration()
    assert first[0].configuration == default
    again = Counter(task.rig.environment.name for task in second)
    assert again == {"here": 4, "there": 4}
    assert [task.configuration for task in plan.tasks] == [
        task.configuration for task in plan_campaign(Campaign.from_yaml(YAML)).tasks
    ]


def test_replicates_show_the_planted_noise(store: Store, lease: Path) -> None:
    settings = {"seed": 1, "n_options": 5, "noise": 0.1}
    campaign = Campaign(
        name="noise",
        environments=(EnvironmentSpec(name="here", system="synthetic", settings=settings),),
        configurations=60,
        replicates=60,
        protocol=Protocol(min_repetitions=1, max_repetitions=1, min_time_s=0),
    )
    run_campaign(campaign, store, lease=lease)
    error = replicate_error(store.read(campaign="noise"))
    assert error.n_pairs == 60
    # E |exp(d) - 1| with d normal of deviation 0.1 sqrt 2 is about 11.4 %.
    assert error.mape_pct == pytest.approx(11.4, rel=0.35)


def test_invalid_configurations_are_stored_outcomes(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(
        """
        name: faults
        environments: [{name: here, system: "perfport.testing.fakes:FaultySystem"}]
        configurations: [{fault: none}, {fault: invalid}, {fault: raise}, {fault: nonsense}]
        remeasure: 0
        protocol: {budget_s: 0.05, min_time_s: 0.0, warm_up_max_s: 0.01}
        """
    )
    result = run_campaign(campaign, store, lease=lease)
    assert result.counts == {Status.OK: 1, Status.INVALID: 2, Status.FAILED: 1}
    reasons = {str(found.configuration["fault"]): found.reason for found in store.read()}
    assert reasons["none"] == ""
    assert "forbidden" in reasons["invalid"]
    assert "nonsense" in reasons["nonsense"]
    assert "the run broke" in reasons["raise"]
    absent = store.read(status=Status.OK)[0].absent
    assert "energy_j" in absent or "energy_j" in store.read(status=Status.OK)[0].repetitions


@pytest.mark.slow
def test_whatever_a_system_does_is_stored_and_the_campaign_goes_on(store: Store, lease: Path) -> None:
    faults = ["none", "hang", "spin", "segfault", "memory", "fork", "daemon", "print", "killed"]
    campaign = Campaign.from_yaml(
        f"""
        name: faults
        environments: [{{name: here, system: "perfport.testing.fakes:FaultySystem"}}]
        configurations: [{", ".join(f"{{fault: {fault}}}" for fault in faults)}]
        remeasure: 0
        protocol: {{budget_s: 0.05, min_time_s: 0.0, warm_up_max_s: 0.01, timeout_s: 8, memory_limit_bytes: 1500000000}}
        """
    )
    result = run_campaign(campaign, store, lease=lease)
    assert (result.is_finished, result.n_measured) == (True, len(faults))
    told = {str(found.configuration["fault"]): (str(found.status), found.reason) for found in store.read()}
    assert {fault for fault in faults if told[fault][0] == "ok"} == {"none", "fork", "daemon", "print"}
    assert {fault for fault in faults if told[fault][0] == "timed_out"} == {"hang", "spin"}
    assert "crashed with SIGSEGV" in told["segfault"][1]
    assert told["memory"][1] == "out of memory"
    assert "killed by SIGKILL" in told["killed"][1]


def test_a_configuration_that_times_out_is_a_lower_bound_in_the_dataset(store: Store, lease: Path) -> None:
    effects = "{option_1: 1.7}"  # 0.01 s without, 0.3 s with
    campaign = Campaign.from_yaml(
        f"""
        name: slow
        environments:
        - name: here
          system: synthetic
          settings: {{n_options: 1, mode: sleep, base_s: 0.0548, noise: 0, effects: {effects}}}
        configurations: 2
        meters: []
        remeasure: 0
        sentinel_every: 0
        protocol:
          {{warm_up_runs: 1, warm_up_max_s: 0, min_repetitions: 20, max_repetitions: 20, min_time_s: 0, timeout_s: 2}}
        """
    )
    result = run_campaign(campaign, store, lease=lease)
    assert result.counts == {Status.OK: 1, Status.TIMED_OUT: 1}
    dataset = store.dataset("here")
    assert dataset.status.tolist() == ["ok", "timed_out"]
    assert is_bound(dataset, "inference_time_s").tolist() == [False, True]
    assert 0.2 < dataset.responses["inference_time_s"][1] < 0.35


def test_another_campaign_gets_what_is_measured_already(store: Store, lease: Path) -> None:
    run_campaign(Campaign.from_yaml(YAML), store, lease=lease)
    other = Campaign.from_yaml(YAML.replace("name: planted", "name: other").replace("replicates: 4", "replicates: 6"))
    result = run_campaign(other, store, lease=lease)
    assert result.n_measured == 4
    assert len(store.read(campaign="other")) == 36
    assert len(store.read(campaign="planted")) == 32


def test_the_estimate_rests_on_what_was_measured(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(YAML)
    run_campaign(campaign, store, max_runs=6, lease=lease)
    plan = plan_campaign(campaign, store)
    assert plan.n_left == 26
    assert plan.estimate.basis == "6 measurements made earlier"
    mean_s = np.mean([found.cost_s for found in store.read()])
    assert plan.estimate.typical_s == pytest.approx(26 * mean_s)


def test_limits_end_a_run_and_say_so(store: Store, lease: Path) -> None:
    campaign = Campaign.from_yaml(YAML)
    runs = [
        run_campaign(campaign, store, max_time_s=0.0, lease=lease),
        run_campaign(campaign, store, max_runs=3, lease=lease),
        run_campaign(campaign, store, stop=lambda: len(store.read()) == 5, lease=lease),
    ]
    assert [(run.n_measured, run.stopped_by) for run in runs] == [(0, "max_time"), (3, "max_runs"), (2, "asked")]
    assert not any(run.is_finished for run in runs)


def test_the_time_given_is_kept_within_a_measurement_that_would_take_longer(store: Store, lease: Path) -> None:
    long = "budget_s: 20, min_time_s: 10, max_repetitions: 100000"
    campaign = Campaign.from_yaml(SLEEPING.replace("budget_s: 0.25, min_time_s: 0.2", long))
    # Long enough to begin, not to end, the first measurement.
    result = run_campaign(campaign, store, max_time_s=3.0, lease=lease)
    assert (result.n_measured, result.stopped_by) == (0, "max_time")
    assert 3.0 <= result.elapsed_s < 10.0  # which the measurement alone would take
    assert store.read() == []


def test_two_campaigns_never_measure_at_once(store: Store, lease: Path) -> None:
    with device_lease("the other one", path=lease), pytest.raises(MeasurementError, match="the other one"):
        run_campaign(Campaign.from_yaml(YAML), store, lease=lease)
    assert store.read() == []
    assert run_campaign(Campaign.from_yaml(YAML), store, lease=lease).is_finished


def test_a_campaign_runs_in_a_thread_where_no_handler_can_be_set(tmp_path: Path, lease: Path) -> None:
    results = []

    def measure() -> None:
        with Store.open(tmp_path / "thread.db") as store:
            results.append(run_campaign(Campaign.from_yaml(YAML), store, lease=lease))

    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    assert results[0].is_finished


def test_rows_of_a_frame_are_measured_in_their_order_and_once(store: Store, lease: Path) -> None:
    spec = EnvironmentSpec(name="here", system="synthetic", settings={"n_options": 5})
    frame = SyntheticSystem(n_options=5).space().sample(6, np.random.default_rng(0))
    first = measure_configurations(spec, frame, store, campaign="adhoc", lease=lease)
    again = measure_configurations(spec, frame.iloc[::-1].reset_index(drop=True), store, lease=lease)
    assert len(first) == 6
    assert first == again[::-1]
    assert len(store.read()) == 6
    truth = SyntheticSystem(n_options=5).truth(frame)
    measured = [float(np.median(found.repetitions["inference_time_s"])) for found in first]
    np.testing.assert_allclose(measured, truth, rtol=0.05)
    later = measure_configurations(spec, frame, store, block=1, lease=lease)
    assert len(store.read()) == 12
    assert [found.configuration for found in later] == [found.configuration for found in first]


def test_side_by_side_finds_the_planted_ratio(store: Store, lease: Path) -> None:
    effects = {"option_1": 0.25}
    spec = EnvironmentSpec(name="here", system="synthetic", settings={"n_options": 2, "effects": effects})
    frame = (
        SyntheticSystem(n_options=2)
        .space()
        .frame([{"option_1": False, "option_2": 1}, {"option_1": True, "option_2": 1}])
    )
    found = measure_side_by_side(spec, frame, store, rounds=7, campaign="verify", lease=lease)
    ratio, lower, upper = found.ratio()
    assert lower <= np.exp(0.5) * 1.02
    assert upper >= np.exp(0.5) * 0.98
    assert ratio == pytest.approx(np.exp(0.5), rel=0.03)
    assert found.medians()[1] / found.medians()[0] == pytest.approx(ratio, rel=0.03)
    assert [len(row) for row in found.measurements] == [7, 7]
    measure_side_by_side(spec, frame, store, rounds=7, campaign="verify", lease=lease)
    assert len(store.read()) == 14
    # Apart from what a campaign measures under the same settings.
    measure_configurations(spec, frame, store, lease=lease)
    assert len(store.read()) == 16


def test_meters_are_those_of_the_campaign_through_every_door(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def noted(names: Sequence[str]) -> list[Meter]:
        asked.append(tuple(names))
        return []

    monkeypatch.setattr("perfport.measure.campaign.run.make_meters", noted)
    file = tmp_path / "campaign.yaml"
    file.write_text(YAML + "meters: [clock]\n")
    rig, campaign = rig_of_campaign(file, "here")
    frame = rig.space.sample(2, np.random.default_rng(0))
    run_campaign(campaign, store, max_runs=1)
    Measured("here", store).pool("here", campaign=file, seed=0).take(np.arange(2))
    measure_configurations(rig, frame, store, block=1, meters=campaign.meters)
    measure_side_by_side(rig, frame, store, rounds=1, meters=campaign.meters)
    told: dict[str, Any] = {"protocol": campaign.protocol, "campaign": campaign.name, "meters": campaign.meters}
    searched(cast(Search, Question(rig.space)), rig, store, **told)
    settled(cast(Settling, Question(rig.space)), rig, store, **told)
    assert asked == [("clock",)] * 6
    measure_configurations(rig, frame, store, block=2)
    assert asked[6:] == [("energy",)]


class Question:
    """Asks for one configuration, as a search and a settling do, and takes any answer."""

    budget = 1
    properties = ("inference_time_s",)
    property = Property("inference_time_s", "s")

    def __init__(self, space: Space) -> None:
        self._left = [{**space.default_configuration(), "option_1": True}]

    def ask(self) -> dict[str, Level | None] | None:
        return self._left.pop() if self._left else None

    def tell(self, *_: object) -> None: ...

    def outcome(self) -> None: ...


def test_side_by_side_needs_two_configurations(store: Store, lease: Path) -> None:
    spec = EnvironmentSpec(name="here", system="synthetic", settings={"n_options": 2})
    frame = SyntheticSystem(n_options=2).space().frame([{"option_1": False, "option_2": 1}] * 2)
    with pytest.raises(UsageError, match="two distinct configurations"):
        measure_side_by_side(spec, frame, store, lease=lease)


def test_a_system_whose_package_is_missing_is_told_before_anything_is_measured(
    store: Store, lease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    campaign = Campaign.from_yaml("name: x\nenvironments: [{name: a, system: onnxruntime, network: ppocr_cls}]")
    with pytest.raises(MissingPackageError, match="pip install"):
        run_campaign(campaign, store, lease=lease)
    assert store.campaigns() == []


SCRIPT = """
import sys
from pathlib import Path
from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign
folder = Path(sys.argv[1])
campaign = Campaign.read(folder / "campaign.yaml")
with Store.open(folder / "perfport.db") as store:
    result = run_campaign(
        campaign, store, lease=folder / "device.lock", progress=lambda step: print(step.n_done, flush=True)
    )
print(result.stopped_by, result.n_measured, flush=True)
"""

SLEEPING = """
name: sleeping
environments: [{name: here, system: synthetic, settings: {n_options: 5, mode: sleep, base_s: 0.002}}]
configurations: 12
remeasure: 0
protocol: {budget_s: 0.25, min_time_s: 0.2, warm_up_max_s: 0.02}
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    (folder / "campaign.yaml").write_text(SLEEPING)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "2":
            break
    return process


@pytest.mark.slow
def test_the_first_ctrl_c_finishes_the_present_measurement(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    stopped_by, n_measured = out.split()[-2:]
    assert (process.returncode, stopped_by) == (0, "asked")
    store = Store.open(tmp_path / "perfport.db")
    assert len(store.read()) == int(n_measured) < 12
    result = run_campaign(Campaign.read(tmp_path / "campaign.yaml"), store, lease=tmp_path / "device.lock")
    assert result.n_measured == 12 - int(n_measured)
    assert len(set(keys(store))) == len(keys(store)) == 12


@pytest.mark.slow
def test_the_second_ctrl_c_stops_at_once_and_loses_nothing(tmp_path: Path) -> None:
    process = start(tmp_path)
    # Two signals at the same moment are one; these fall into one measurement.
    process.send_signal(signal.SIGINT)
    time.sleep(0.03)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    store = Store.open(tmp_path / "perfport.db")
    n_before = len(store.read())
    assert 2 <= n_before < 12
    result = run_campaign(Campaign.read(tmp_path / "campaign.yaml"), store, lease=tmp_path / "device.lock")
    assert result.n_measured == 12 - n_before
