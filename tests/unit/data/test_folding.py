from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from tests.unit.data.samples import TIME

from perfport.data.dataset import Dataset
from perfport.data.folding import configuration_numbers, fold_replicates, log_standard_error


def test_the_error_of_two_readings_is_that_of_their_mean() -> None:
    assert_allclose(log_standard_error(np.exp([0.0, 0.2])), 0.1)


def test_the_error_of_a_median_is_wider_than_that_of_a_mean() -> None:
    values = np.exp([0.0, 0.1, 0.2])
    assert_allclose(log_standard_error(values), 0.1 / np.sqrt(3) * np.sqrt(np.pi / 2))


def test_the_error_matches_the_scatter_of_medians() -> None:
    rng = np.random.default_rng(0)
    draws = np.exp(rng.normal(scale=0.05, size=(2000, 25)))
    claimed = np.mean([log_standard_error(row) for row in draws])
    assert_allclose(claimed, np.std(np.log(np.median(draws, axis=1))), rtol=0.05)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0], [1.0, np.nan], [1.0, np.inf]])
def test_no_error_is_claimed_without_two_positive_readings(values: list[float]) -> None:
    assert np.isnan(log_standard_error(np.array(values)))


def replicated() -> Dataset:
    frame = pd.DataFrame({"mode": ["b", "a", "b", "a", "b"], "t_s": [1.0, 5.0, 3.0, 7.0, 2.0]})
    return Dataset.from_frame(frame, properties={"t_s": "s"})


def test_folding_takes_the_median_of_each_configuration_in_order_of_appearance() -> None:
    folded = fold_replicates(replicated())
    assert folded.configurations["mode"].tolist() == ["b", "a"]
    assert folded.responses["t_s"].tolist() == [2.0, 6.0]
    assert_allclose(folded.log_se["t_s"][1], log_standard_error(np.array([5.0, 7.0])))


def test_folding_distinct_rows_changes_nothing() -> None:
    dataset = fold_replicates(replicated())
    assert fold_replicates(dataset) is dataset


def test_failed_replicates_give_way_to_those_that_ran() -> None:
    dataset = replicated()
    statuses = np.array(["failed", "failed", "ok", "timed_out", "ok"])
    values = np.where(statuses == "ok", dataset.responses["t_s"], np.nan)
    folded = fold_replicates(
        Dataset(
            space=dataset.space,
            environment=dataset.environment,
            properties=dataset.properties,
            configurations=dataset.configurations,
            responses={"t_s": values},
            status=statuses,
            cost_s=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        )
    )
    assert folded.status.tolist() == ["ok", "failed"]
    assert folded.responses["t_s"][0] == 2.5
    assert np.isnan(folded.responses["t_s"][1])
    assert folded.cost_s.tolist() == [9.0, 6.0]


@pytest.mark.parametrize(
    ("readings", "errors", "expected"),
    [
        ([1.0, np.nan], [0.05, np.nan], 0.05),  # what is known of the one reading is known of the median
        ([1.0, 1.0], [0.05, 0.05], 0.05 / np.sqrt(2)),  # equal readings are not known exactly
        ([1.0, 1.0, 1.0, 1.0], [0.05, np.nan, np.nan, np.nan], 0.05 / 4),
        ([1.0, np.exp(0.4)], [0.05, 0.05], 0.2),
        ([1.0, 0.0], [0.05, 0.05], np.nan),
        ([np.nan, np.nan], [0.05, 0.05], np.nan),
    ],
)
def test_folding_keeps_what_the_readings_say_of_themselves(
    readings: list[float], errors: list[float], expected: float
) -> None:
    frame = pd.DataFrame({"mode": ["b"] * len(readings), "t_s": readings})
    dataset = replace(Dataset.from_frame(frame, properties=["t_s"]), log_se={"t_s": np.array(errors)})
    folded = fold_replicates(dataset)
    assert len(folded) == 1
    assert_allclose(folded.log_se["t_s"], expected)


def test_configurations_are_numbered_in_order_of_appearance() -> None:
    frame = pd.DataFrame({"mode": ["b", "a", "b", None, "a", None], "on": [True, True, True, None, True, None]})
    assert configuration_numbers(frame).tolist() == [0, 1, 0, 2, 1, 2]


def test_an_empty_dataset_folds_to_itself() -> None:
    empty = replicated().take([])
    assert len(fold_replicates(empty)) == 0
    assert TIME not in empty.responses
