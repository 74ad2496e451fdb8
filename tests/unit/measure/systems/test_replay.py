"""Recorded systems."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property, Status
from perfport.data.store import Store
from perfport.errors import UsageError
from perfport.measure.campaign import Campaign, measure_configurations, run_campaign
from perfport.measure.runner.rig import make_rig
from perfport.measure.systems.replay import ReplaySystem
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.bounds import is_bound


@pytest.fixture
def dataset() -> Dataset:
    space = Space([Option(name="threads", type="ordinal", values=(1, 2, 4))])
    return Dataset(
        space=space,
        environment=Environment("board", hardware={"name": "board"}, network={"name": "n"}),
        properties={"inference_time_s": Property("inference_time_s", "s"), "power_w": Property("power_w", "W")},
        configurations=pd.DataFrame({"threads": [1, 2, 2, 4]}),
        responses={
            "inference_time_s": np.array([0.4, 0.2, 0.3, np.nan]),
            "power_w": np.array([3.0, np.nan, 4.0, np.nan]),
        },
        status=np.array(["ok", "ok", "ok", "timed_out"]),
        cost_s=np.array([10.0, 20.0, 30.0, 600.0]),
    )


def test_a_replayed_campaign_has_the_numbers_statuses_and_costs_of_then(dataset: Dataset, tmp_path: Path) -> None:
    rig = make_rig("board", ReplaySystem(dataset=dataset))
    assert rig.environment.fingerprint == dataset.environment.fingerprint
    frame = pd.DataFrame({"threads": [1, 2, 4]})
    with Store.open(tmp_path / "p.db") as store:
        first = measure_configurations(rig, frame, store, lease=tmp_path / "lock")
        second = measure_configurations(rig, frame, store, block=1, lease=tmp_path / "lock")
        assert store.properties("board")["power_w"].unit == "W"
    assert [found.cost_s for found in first] == [10.0, 20.0, 600.0]
    assert [found.status for found in first] == [Status.OK, Status.OK, Status.TIMED_OUT]
    assert [found.repetitions["inference_time_s"].tolist() for found in first[:2]] == [[0.4], [0.2]]
    assert first[1].absent == {"power_w": "the row has no value"}
    assert first[2].reason == "recorded as timed_out"
    # Rows of one configuration are its replicates.
    assert second[1].repetitions["inference_time_s"].tolist() == [0.3]
    assert second[0].repetitions["inference_time_s"].tolist() == [0.4]


def test_the_bound_of_a_row_that_timed_out_is_replayed(dataset: Dataset, tmp_path: Path) -> None:
    limits = {**dataset.responses, "inference_time_s": np.array([0.4, 0.2, 0.3, 5.0])}
    rig = make_rig("board", ReplaySystem(dataset=replace(dataset, responses=limits)))
    with Store.open(tmp_path / "p.db") as store:
        measure_configurations(rig, pd.DataFrame({"threads": [1, 4]}), store, lease=tmp_path / "lock")
        again = store.dataset("board")
    assert is_bound(again, "inference_time_s").tolist() == [row == "timed_out" for row in again.status]
    assert sorted(again.responses["inference_time_s"]) == [0.4, 5.0]


def test_what_was_never_measured_is_invalid_not_invented(dataset: Dataset) -> None:
    system = ReplaySystem(dataset=dataset.take([0]))
    outcome = system.outcome({"threads": 2}, block=0)
    assert (outcome.status, outcome.reason) == (Status.INVALID, "never measured in environment 'board'")


def test_published_tables_are_replayed_from_a_campaign_file(published: Path, tmp_path: Path) -> None:
    folder = published / "data" / "opml19_xception_tx2"
    campaign = Campaign.from_yaml(
        f"""
        name: replayed
        environments:
        - {{name: small, system: replay, settings: {{folder: "{folder}", environment: tx2_xception_200}}}}
        configurations: 5
        """
    )
    with Store.open(tmp_path / "p.db") as store:
        result = run_campaign(campaign, store, lease=tmp_path / "lock")
        assert result.n_measured == 5
        assert {found.status for found in store.read()} <= {Status.OK, Status.INVALID}


def test_rows_must_be_given_once(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="either folder and environment, or a dataset"):
        ReplaySystem()
    with pytest.raises(UsageError, match="either folder and environment, or a dataset"):
        ReplaySystem(str(tmp_path), "x", dataset=dataset)
