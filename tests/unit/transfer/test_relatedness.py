import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError, UsageError
from perfport.transfer.relatedness import SharedFailures, relatedness

FRAME = pd.DataFrame(
    [(c, t, a, b) for c in (1.0, 2.0, 4.0, 8.0) for t in (1, 2, 4) for a in (False, True) for b in (False, True)],
    columns=["clock", "threads", "arena", "spin"],
)
N = len(FRAME)


def dataset(y: FloatArray, name: str, frame: pd.DataFrame = FRAME) -> Dataset:
    return Dataset.from_frame(frame.assign(time_s=y), properties=["time_s"], environment=name)


def time_of(clock: float = 0.0, threads: float = 0.0, arena: float = 0.0, both: float = 0.0) -> FloatArray:
    """Log-additive influences, `both` being the interaction of arena and spin."""
    f = FRAME
    log_time = clock / f["clock"] - threads * np.log(f["threads"]) + arena * f["arena"] + both * f["arena"] * f["spin"]
    return np.asarray(np.exp(log_time), dtype=np.float64)


SOURCE = dataset(time_of(clock=2, threads=0.5, both=1), "source")


def test_an_environment_is_wholly_related_to_itself() -> None:
    found = relatedness(SOURCE, SOURCE, property="time_s")
    assert found.pearson.value == pytest.approx(1)
    assert found.spearman.value == pytest.approx(1)
    assert found.ratio.value == pytest.approx(1)
    assert found.scaled_error_pct.value == pytest.approx(0, abs=1e-9)
    assert found.ks_distance.value == 0
    assert (found.n, found.basis) == (N, "shared configurations")
    assert found.options is not None
    assert found.interactions is not None
    assert (found.options.overlap, found.options.kept, found.interactions.kept) == (1, 1, 1)
    assert found.options.rank_agreement == pytest.approx(1)


def test_a_power_of_the_source_has_the_same_order_and_shape_but_not_the_same_proportions() -> None:
    y = 3 * SOURCE.responses["time_s"] ** 2
    found = relatedness(SOURCE, dataset(y, "target"), property="time_s")
    assert found.pearson.value == pytest.approx(1)
    assert found.ks_distance.value == 0
    assert found.scaled_error_pct.value > 30
    reverse = relatedness(SOURCE, dataset(1 / y, "target"), property="time_s")
    assert reverse.spearman.value == pytest.approx(-1)


def test_a_faster_device_shows_in_the_ratio_alone() -> None:
    found = relatedness(SOURCE, dataset(SOURCE.responses["time_s"] / 4, "target"), property="time_s")
    assert found.ratio.value == pytest.approx(0.25)
    assert found.scaled_error_pct.value == pytest.approx(0, abs=1e-9)


def test_influences_that_stay_vanish_and_appear_are_told_apart() -> None:
    source = dataset(time_of(clock=2, threads=0.5), "source")
    target = dataset(time_of(clock=2, arena=1), "target")
    options = relatedness(source, target, property="time_s").options
    assert options is not None
    assert set(options.table.index) == {"clock", "threads", "arena"}
    assert options.overlap == pytest.approx(1 / 3)
    assert options.kept == pytest.approx(1 / 2)
    assert options.table["target"]["threads"] == 0
    assert options.table["source"]["clock"] > 0.3


def test_shares_of_additive_influences_are_their_variances() -> None:
    target = dataset(time_of(threads=1, arena=2), "target")
    options = relatedness(target, target, property="time_s").options
    assert options is not None
    threads, arena = np.log([1, 2, 4]).var(), 4 * 0.25
    assert options.table["source"]["arena"] == pytest.approx(arena / (threads + arena), abs=0.05)
    assert options.table["source"]["threads"] == pytest.approx(threads / (threads + arena), abs=0.05)


def test_an_interaction_that_vanishes_is_not_kept() -> None:
    target = dataset(time_of(clock=2, threads=0.5, arena=1), "target")
    interactions = relatedness(SOURCE, target, property="time_s").interactions
    assert interactions is not None
    assert list(interactions.table.index) == ["arena x spin"]
    assert interactions.table["source"]["arena x spin"] > 0.01
    assert (interactions.overlap, interactions.kept) == (0, 0)


def test_failures_are_compared_where_both_tried() -> None:
    y_source, y_target = SOURCE.responses["time_s"].copy(), SOURCE.responses["time_s"].copy()
    y_source[[0, 1, 2]] = 0
    y_target[[2, 3]] = np.nan
    target = dataset(y_target, "target").take(range(40))
    found = relatedness(dataset(y_source, "source"), target, property="time_s")
    assert found.failures == SharedFailures(n=40, both=1, source_only=2, target_only=1)
    assert found.failures.overlap == pytest.approx(1 / 4)
    assert any("rows dropped" in note for note in found.notes)


def test_without_failures_their_overlap_is_unknown() -> None:
    failures = relatedness(SOURCE, SOURCE, property="time_s").failures
    assert failures is not None
    assert np.isnan(failures.overlap)


def test_a_model_stands_in_where_no_configuration_is_shared() -> None:
    moved = FRAME.assign(clock=FRAME["clock"] * 1.01)
    target = dataset(3 * SOURCE.responses["time_s"], "target", moved)
    found = relatedness(SOURCE, target, property="time_s")
    assert found.basis == "model of the source at the target's configurations"
    assert found.spearman.value > 0.9
    assert found.failures is None


def test_few_target_rows_answer_the_first_questions_and_say_why_not_the_others() -> None:
    found = relatedness(SOURCE, SOURCE.take(range(0, N, 6)), property="time_s")
    assert found.spearman.value == pytest.approx(1)
    assert found.options is None
    assert found.interactions is None
    assert found.notes == ("influences were not compared: that needs 20 rows in both, there are 48 and 8",)


def test_a_single_row_gives_a_ratio_and_no_correlation() -> None:
    found = relatedness(SOURCE, dataset(2 * SOURCE.responses["time_s"], "target").take([3]), property="time_s")
    assert found.ratio.value == pytest.approx(2)
    assert np.isnan(found.spearman.value)
    assert "-" in str(found)


def test_intervals_hold_the_value_and_shrink_with_rows() -> None:
    noise = np.exp(0.3 * np.random.default_rng(0).normal(size=N))
    target = dataset(SOURCE.responses["time_s"] * noise, "target")
    many, few = (relatedness(SOURCE, t, property="time_s") for t in (target, target.take(range(0, N, 4))))
    for found in (many, few):
        for statistic in (found.pearson, found.spearman, found.ratio, found.scaled_error_pct):
            assert statistic.lower <= statistic.value <= statistic.upper
    assert many.ratio.upper - many.ratio.lower < few.ratio.upper - few.ratio.lower
    wide = relatedness(SOURCE, target, property="time_s", coverage=0.99)
    assert wide.ratio.upper > many.ratio.upper


def test_the_order_of_rows_does_not_matter() -> None:
    noise = np.exp(0.3 * np.random.default_rng(0).normal(size=N))
    target, order = dataset(SOURCE.responses["time_s"] * noise, "target"), np.random.default_rng(1).permutation(N)
    here = relatedness(SOURCE, target, property="time_s").table()
    there = relatedness(SOURCE.take(order), target.take(order[::-1]), property="time_s").table()
    pd.testing.assert_frame_equal(here, there)


def test_an_option_of_another_name_is_renamed() -> None:
    other = dataset(SOURCE.responses["time_s"], "source", FRAME.rename(columns={"clock": "core_freq"}))
    found = relatedness(other, SOURCE, property="time_s", rename={"core_freq": "clock"})
    assert found.spearman.value == pytest.approx(1)
    assert found.n == N


def test_the_table_and_the_text_ask_the_questions() -> None:
    found = relatedness(SOURCE, SOURCE, property="time_s")
    table = found.table()
    assert list(table.columns) == ["question", "measure", "value", "lower", "upper"]
    assert len(table) == 14
    text = str(found)
    assert text.splitlines()[0] == "'source' -> 'source', time_s: 48 rows, shared configurations"
    for question in table["question"].unique():
        assert question in text


def test_a_source_is_expected_to_gain_more_the_more_it_explains_and_the_fewer_rows_there_are() -> None:
    itself = relatedness(SOURCE, SOURCE, property="time_s")
    other = relatedness(SOURCE, dataset(time_of(clock=2, threads=-0.5), "target"), property="time_s")
    assert itself.expected_gain(5) > other.expected_gain(5)
    assert itself.expected_gain(5) > itself.expected_gain(50) > 0
    single = relatedness(SOURCE, SOURCE.take([0]), property="time_s")
    assert np.isnan(single.expected_gain(5))
    with pytest.raises(UsageError, match="at least one target row"):
        itself.expected_gain(0)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="no property 'energy_j'"):
        relatedness(SOURCE, SOURCE, property="energy_j")
    with pytest.raises(UsageError, match="between 0 and 1"):
        relatedness(SOURCE, SOURCE, property="time_s", coverage=90)
    with pytest.raises(NotEnoughDataError, match="no usable row"):
        relatedness(SOURCE, dataset(np.zeros(N), "target"), property="time_s")
