import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from tests.unit.data import samples
from tests.unit.data.samples import TIME, measurement

from perfport.data.assembly import dataset_of, inferred_space, measurements_of
from perfport.data.dataset import Dataset
from perfport.data.folding import log_standard_error
from perfport.data.measurement import Measurement, Property, Status
from perfport.errors import NotEnoughDataError, UsageError


def assembled(*found: Measurement, properties: dict[str, Property] | None = None) -> Dataset:
    return dataset_of(found, space=inferred_space(found), properties=properties)


def test_one_block_gives_the_median_and_the_error_of_its_repetitions() -> None:
    dataset = assembled(measurement(1, values=[0.2, 0.1, 0.4]), measurement(2, values=[0.5]))
    assert dataset.responses[TIME].tolist() == [0.2, 0.5]
    assert_allclose(dataset.log_se[TIME][0], log_standard_error(np.array([0.2, 0.1, 0.4])))
    assert np.isnan(dataset.log_se[TIME][1])
    assert dataset.configurations["threads"].tolist() == [1, 2]


def test_blocks_are_replicates_of_equal_weight_however_many_repetitions_they_have() -> None:
    blocks = [[1.0] * 99, [2.0], [4.0]]
    found = [measurement(2, values=values, block=block) for block, values in enumerate(blocks)]
    dataset = assembled(*found)
    assert dataset.responses[TIME].tolist() == [2.0]
    assert_allclose(dataset.log_se[TIME][0], log_standard_error(np.array([1.0, 2.0, 4.0])))


def test_blocks_that_happen_to_agree_do_not_hide_the_noise_within() -> None:
    values = np.exp([0.0, 0.1, 0.2])
    dataset = assembled(*(measurement(2, values=values, block=block) for block in range(4)))
    assert_allclose(dataset.log_se[TIME][0], log_standard_error(values) / 2)


def test_failures_keep_their_status_and_reason() -> None:
    found = [
        measurement(1, status=Status.FAILED, cost_s=3.0),
        measurement(2),
        measurement(4, status=Status.TIMED_OUT, block=0),
        measurement(4, block=1, values=[0.7], cost_s=1.0),
    ]
    dataset = assembled(*found)
    assert dataset.status.tolist() == ["failed", "ok", "ok"]
    assert np.isnan(dataset.responses[TIME]).tolist() == [True, False, False]
    assert dataset.notes is not None
    assert dataset.notes["reason"].tolist() == ["the child died", "", ""]
    assert dataset.notes["blocks_ok"].tolist() == [0, 1, 1]
    assert dataset.notes["blocks"].tolist() == [1, 1, 2]
    assert dataset.cost_s.tolist() == [3.0, 0.0, 1.0]


def test_the_limit_of_a_time_out_is_kept_where_nothing_ended_well() -> None:
    limit = {TIME: np.array([2.0])}
    stopped, again = (
        Measurement({"threads": threads}, samples.BOARD, Status.TIMED_OUT, limit, reason="as published")
        for threads in (1, 2)
    )
    ended = Measurement({"threads": 2}, samples.BOARD, Status.OK, {TIME: np.array([1.9])}, block=1)
    dataset = assembled(stopped, again, ended)
    assert dataset.status.tolist() == ["timed_out", "ok"]
    assert dataset.responses[TIME].tolist() == [2.0, 1.9]
    assert dataset.notes is not None
    assert dataset.notes["repetitions"].tolist() == [0, 1]
    with pytest.raises(NotEnoughDataError, match="none of 1 measurements is ok; the first is timed_out"):
        assembled(stopped)


def test_a_property_some_rows_lack_is_nan_there() -> None:
    both = Measurement({"threads": 2}, samples.BOARD, Status.OK, {TIME: np.array([0.1]), "energy_j": np.array([3.0])})
    only = Measurement({"threads": 1}, samples.BOARD, Status.OK, {TIME: np.array([0.2])}, {"energy_j": "no sensor"})
    dataset = assembled(only, both)
    assert np.isnan(dataset.responses["energy_j"]).tolist() == [True, False]
    assert dataset.properties["energy_j"].unit == "J"


def test_declared_properties_win_over_the_ending_of_the_name() -> None:
    declared = {TIME: Property(TIME, "s", "minimise", "of one batch")}
    assert assembled(measurement(), properties=declared).properties == declared


def test_nothing_ok_is_not_enough() -> None:
    failed = measurement(1, status=Status.FAILED)
    with pytest.raises(NotEnoughDataError, match="none of 1 measurements is ok; the first is failed: the child died"):
        assembled(failed)
    with pytest.raises(NotEnoughDataError, match="measure or import some first"):
        dataset_of([], space=samples.space())


def test_a_space_with_inactive_options_must_be_given() -> None:
    found = [
        Measurement({"mode": "serial", "inter": None}, samples.BOARD, Status.OK, {TIME: np.array([0.1])}),
        Measurement({"mode": "parallel", "inter": 2}, samples.BOARD, Status.OK, {TIME: np.array([0.2])}),
    ]
    with pytest.raises(UsageError, match="option 'inter' has no level; give a space"):
        inferred_space(found)


@samples.relaxed
@given(samples.datasets())
def test_a_dataset_survives_as_measurements(dataset: Dataset) -> None:
    has_something = (dataset.status != "ok") | np.any([np.isfinite(v) for v in dataset.responses.values()], axis=0)
    told = dataset.take(has_something)
    found = list(measurements_of(dataset))
    assert len(found) == len(told)
    if not any(item.status is Status.OK for item in found):
        return
    again = dataset_of(found, space=dataset.space, properties=dataset.properties)
    assert again.status.tolist() == told.status.tolist()
    assert again.configurations.equals(told.configurations)
    for name, values in again.responses.items():
        np.testing.assert_array_equal(values, told.responses[name])


def test_replicate_rows_become_blocks() -> None:
    dataset = samples.dataset(3)
    found = list(measurements_of(dataset.concat(dataset)))
    assert [item.block for item in found] == [0, 0, 0, 1, 1, 1]
    assert len({item.key for item in found}) == 6
