import dataclasses

import numpy as np
import pandas as pd
import pytest
from tests.unit.report.samples import sample_configurations, sample_predictions, sample_report

from perfport.data.measurement import Status
from perfport.errors import UsageError
from perfport.report.content import Estimate, MeasuringSummary, Missing, Predictions

ONES = np.ones(3)


def predictions(**changes: object) -> Predictions:
    given = {"measured": ONES, "predicted": ONES, "is_fitted": np.array([True, False, False])}
    return Predictions(sample_configurations(3), **(given | changes))  # type: ignore[arg-type]


def test_predictions_do_not_change_with_the_arrays_they_were_made_from() -> None:
    measured = np.ones(3)
    given = predictions(measured=measured)
    measured[0] = 7.0
    assert given.measured[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        given.measured[0] = 7.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": np.ones(2)}, "'measured' has shape"),
        ({"is_fitted": np.ones((3, 1))}, "'is_fitted' has shape"),
        ({"predicted": np.array([1.0, np.nan, 1.0])}, "'predicted' has numbers that are not positive"),
        ({"measured": np.array([1.0, 0.0, 1.0])}, "drop failed rows first"),
        ({"lower": ONES}, "one end of the intervals only"),
        ({"lower": ONES, "upper": np.array([1.0, np.inf, 1.0])}, "'upper' has numbers"),
    ],
)
def test_predictions_that_cannot_be_drawn_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictions(**changes)


def test_only_rows_the_model_has_not_seen_count_as_inside_their_interval() -> None:
    given = predictions(
        measured=np.array([5.0, 1.0, 3.0]), lower=np.array([1.0, 0.5, 1.0]), upper=np.array([2.0, 2.0, 2.0])
    )
    assert given.share_inside == 0.5
    assert predictions().share_inside is None
    assert predictions(lower=ONES, upper=ONES, is_fitted=np.ones(3, bool)).share_inside is None


def test_the_noise_floor_is_that_of_the_compared_rows_or_else_of_the_target() -> None:
    report = sample_report()
    assert report.noise_floor_pct() == 2.9
    without_comparison = dataclasses.replace(report, comparison=Missing("nothing to compare"))
    assert without_comparison.noise_floor_pct() == 2.9
    assert dataclasses.replace(without_comparison, environments=Missing("none")).noise_floor_pct() is None
    assert isinstance(report.environments, tuple)
    source_only = dataclasses.replace(without_comparison, environments=report.environments[:1])
    assert source_only.noise_floor_pct() is None


def test_every_outcome_counts_as_a_row() -> None:
    assert MeasuringSummary({Status.OK: 40, Status.FAILED: 2, Status.TIMED_OUT: 1}).n_rows == 43


def test_an_interval_needs_both_ends() -> None:
    assert Estimate(1.0, 0.9).interval is None
    assert Estimate(1.0, 0.9, 1.2).interval == (0.9, 1.2)


def test_an_empty_table_of_predictions_is_allowed() -> None:
    empty = Predictions(pd.DataFrame({"a": []}), np.empty(0), np.empty(0), np.empty(0, bool))
    assert len(empty) == 0
    assert len(sample_predictions(12)) == 12
