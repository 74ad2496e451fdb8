"""Which measurements count."""

from typing import Any

import numpy as np
import pytest
from tests.unit.data.samples import TIME, measurement

from perfport.data.assembly import dataset_of, inferred_space, measurements_of
from perfport.data.dataset import Dataset
from perfport.data.measurement import Measurement, Status
from perfport.data.standing import is_bad, standing, worst_grade


def graded(grade: str, value: float = 0.1, **more: Any) -> Measurement:
    return measurement(values=[value], grade=grade, **more)


def assembled(*found: Measurement) -> Dataset:
    return dataset_of(found, space=inferred_space(found))


def test_of_several_attempts_the_best_counts_and_is_not_averaged_with_the_others() -> None:
    found = [graded("D", 0.9, grade_reasons=["loud"]), graded("B", 0.1, attempt=1), graded("C", 0.5, attempt=2)]
    assert standing(found) == [found[1]]
    dataset = assembled(*found)
    assert dataset.responses[TIME].tolist() == [0.1]
    assert dataset.notes is not None
    assert dataset.notes[["grade", "grade_reasons"]].iloc[0].tolist() == ["B", ""]


def test_a_bad_block_beside_a_good_one_does_not_count() -> None:
    found = [graded("D", 0.9), graded("A", 0.1, block=1), graded("C", 0.2, block=2)]
    assert standing(found) == found[1:]
    assert assembled(*found).responses[TIME].tolist() == [pytest.approx(0.15)]


def test_where_all_are_bad_the_best_known_attempt_stands_with_its_grade_and_error() -> None:
    found = [graded("D", 0.9, log_se={TIME: 0.3}), graded("D", 0.8, attempt=1, log_se={TIME: 0.2})]
    assert standing(found) == [found[1]]
    dataset = assembled(*found)
    assert (dataset.responses[TIME][0], dataset.log_se[TIME][0]) == (0.8, 0.2)
    assert dataset.notes is not None
    assert dataset.notes["grade"].tolist() == ["D"]


def test_a_failed_attempt_does_not_stand_before_a_bad_number() -> None:
    failed = measurement(status=Status.FAILED, attempt=1)
    assert [found.grade for found in standing([graded("D"), failed])] == ["D"]
    assert not is_bad(failed)


def test_costs_of_all_attempts_are_charged() -> None:
    assert assembled(graded("D", cost_s=2.0), graded("A", attempt=1, cost_s=3.0)).cost_s.tolist() == [5.0]


def test_rows_nobody_judged_count_as_good() -> None:
    assert worst_grade([graded(""), graded("A")]) == "A"
    assert not is_bad(graded(""))
    assert is_bad(graded("C"), "B")


def test_the_error_a_measurement_states_goes_through_a_dataset_and_back() -> None:
    dataset = assembled(graded("A", log_se={TIME: 0.07}))
    (again,) = measurements_of(dataset)
    assert again.log_se == {TIME: 0.07}
    np.testing.assert_array_equal(assembled(again).log_se[TIME], dataset.log_se[TIME])
