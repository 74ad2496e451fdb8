"""What strategies are promised: every target configuration once, sources in the target's options, nothing mixed up."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

import perfport
from perfport.data.dataset import Dataset
from perfport.data.folding import fold_replicates
from perfport.errors import InvalidConfigurationError, SpaceError, UsageError
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.prepare import prepare_sources

SOURCE = dataset(noisy(log_time(FRAME), 1), "source")
TARGET = dataset(noisy(0.7 + log_time(FRAME), 2), "target")
ROWS = np.random.default_rng(4).permutation(len(FRAME))[:8]
MODE = Option(name="mode", type="categorical", values=("one", "many"))
STREAMS = Option(name="streams", type="ordinal", values=(1, 2, 4))
CONDITIONS = [{"option": "streams", "when": "mode == 'many'"}]
GRID = pd.DataFrame([(mode, streams) for mode in ("one", "many") for streams in (1, 2, 4)], columns=["mode", "streams"])


def of_grid(name: str) -> Dataset:
    return Dataset.from_frame(
        GRID.assign(time_s=np.arange(6) + 1.0), properties=["time_s"], space=Space([MODE, STREAMS]), environment=name
    )


@pytest.mark.parametrize("strategy", ["auto", "residual"])
def test_repeated_target_readings_do_not_flatter(strategy: str) -> None:
    rng = np.random.default_rng(0)
    # What no source can tell: every configuration is off by a factor of its own, the same in each reading.
    own = np.exp(0.5 * rng.normal(size=len(FRAME)))
    rows = np.tile(ROWS, 3)
    y = (TARGET.responses["time_s"] * own)[rows] * np.exp(0.01 * rng.normal(size=len(rows)))
    repeated = dataset(y, "target", FRAME.iloc[rows].reset_index(drop=True))
    models = [
        perfport.transfer(sources=[SOURCE], target=target, property="time_s", strategy=strategy)
        for target in (repeated, fold_replicates(repeated))
    ]
    np.testing.assert_allclose(models[0].predict(FRAME), models[1].predict(FRAME), rtol=1e-9)
    assert models[0].verdict.estimated_error_pct == pytest.approx(models[1].verdict.estimated_error_pct)
    assert (models[0].verdict.estimated_error_pct or 0.0) > 20.0
    assert any("24 readings of 8 configurations" in note for note in models[0].verdict.notes)


def test_conditions_of_the_target_count_whatever_was_prepared_before() -> None:
    free, bound = Space([MODE, STREAMS]), Space([MODE, STREAMS], conditions=CONDITIONS)
    emptied = [
        int(prepare_sources([of_grid("s")], space, property="time_s")[0].dataset.configurations["streams"].isna().sum())
        for space in (free, bound, free)
    ]
    assert emptied == [0, 3, 0]


def test_sources_of_equal_content_keep_their_names() -> None:
    target = TARGET.take(ROWS)
    for name in ("first", "second"):
        source = dataset(SOURCE.responses["time_s"], name)
        verdict = perfport.transfer(sources=[source], target=target, property="time_s").verdict
        assert f"source:{name}" in verdict.weights


def test_sources_of_one_name_are_told_apart() -> None:
    other = dataset(noisy(log_time(FRAME), 7, sd=0.2), "source")
    verdict = perfport.transfer(sources=[SOURCE, other], target=TARGET.take(ROWS), property="time_s").verdict
    assert {name for name in verdict.weights if name.startswith("source:")} == {"source:source", "source:source #2"}


def test_a_source_that_is_given_twice_counts_once() -> None:
    once, twice = (
        perfport.transfer(sources=sources, target=TARGET.take(ROWS), property="time_s")
        for sources in ([SOURCE], [SOURCE, SOURCE, SOURCE])
    )
    np.testing.assert_array_equal(once.predict(FRAME), twice.predict(FRAME))
    assert [note for note in twice.verdict.notes if "more than once" in note] == [
        "source 'source' was given more than once and counts once"
    ]


def test_the_target_as_its_own_source_is_told() -> None:
    verdict = perfport.transfer(sources=[TARGET], target=TARGET.take(ROWS), property="time_s").verdict
    assert any("is source and target" in note for note in verdict.notes)


def test_a_model_prints_what_it_is() -> None:
    assert repr(MODEL) == "<Model of time_s in target, from 8 target rows and source: helped>"
    assert str(MODEL).startswith("Model of time_s in target, from 8 target rows and source: helped; estimated error")
    alone = perfport.transfer(sources=[], target=TARGET.take(ROWS), property="time_s")
    assert repr(alone) == "<Model of time_s in target, from 8 target rows and no source: no source>"


@pytest.mark.parametrize(
    "number", [Option(name="x", type="integer", lower=1, upper=8), Option(name="x", type="float", lower=0.5, upper=8)]
)
def test_a_text_where_the_target_has_a_range_is_dropped_and_told(number: Option) -> None:
    mixed = Option(name="x", type="categorical", values=(1, 2, "auto"))
    frame = pd.DataFrame({"x": [1, 2, "auto"] * 2, "mode": ["one"] * 3 + ["many"] * 3})
    source = Dataset.from_frame(
        frame.assign(time_s=[1.0, 2.0, 3.0, 2.0, 4.0, 6.0]), properties=["time_s"], space=Space([mixed, MODE])
    )
    target = Dataset.from_frame(
        pd.DataFrame({"x": [1, 2, 4], "mode": ["one", "many", "one"], "time_s": [1.0, 4.0, 4.0]}),
        properties=["time_s"],
        space=Space([number, MODE]),
    )
    model = perfport.transfer(sources=[source], target=target, property="time_s")
    assert any("2 of 6 rows dropped, 'x' is 'auto' there" in note for note in model.verdict.notes)


def test_a_truth_that_is_a_number_elsewhere_is_one() -> None:
    three, two = Option(name="x", type="ordinal", values=(0, 1, 2)), Option(name="x", type="boolean")
    source = Dataset.from_frame(
        pd.DataFrame({"x": [0, 1, 2], "time_s": [1.0, 2.0, 3.0]}), properties=["time_s"], space=Space([three])
    )
    target = Dataset.from_frame(
        pd.DataFrame({"x": [False, True], "time_s": [2.0, 4.0]}), properties=["time_s"], space=Space([two])
    )
    model = perfport.transfer(sources=[source], target=target, property="time_s", strategy="scaled")
    np.testing.assert_allclose(model.predict(pd.DataFrame({"x": [False, True]})), [2.0, 4.0], rtol=1e-9)


MODEL = perfport.transfer(sources=[SOURCE], target=TARGET.take(ROWS), property="time_s", strategy="scaled")


def test_a_prediction_says_what_is_missing_or_no_number() -> None:
    with pytest.raises(SpaceError, match=r"lack 'mode'; did you mean 'Mode'\?"):
        MODEL.predict(FRAME.rename(columns={"mode": "Mode"}))
    with pytest.raises(InvalidConfigurationError, match="row 1: option 'threads': 'two' is not a level"):
        MODEL.predict(FRAME.head(3).assign(threads=[1, "two", 4]))
    with pytest.raises(InvalidConfigurationError, match="option 'cache': 'yes' is not a level"):
        MODEL.predict_interval(FRAME.head(1).assign(cache="yes"))
    with pytest.raises(UsageError, match="configurations are a dict; give a DataFrame"):
        MODEL.predict_median({"threads": 1})  # type: ignore[arg-type]


def test_a_prediction_reads_levels_as_the_options_write_them() -> None:
    expected = MODEL.predict(FRAME)
    rounded = FRAME.assign(clock_hz=FRAME["clock_hz"] * (1 + 1e-12), cache=FRAME["cache"].astype(int), more=1)
    np.testing.assert_array_equal(MODEL.predict(rounded), expected)
    assert np.isfinite(MODEL.predict(FRAME.head(2).assign(threads=[3, 100], mode="never seen"))).all()


def test_what_is_no_dataset_is_told_at_the_door() -> None:
    with pytest.raises(UsageError, match=r"give a list, also of one: sources=\[dataset\]"):
        perfport.transfer(sources=SOURCE, target=TARGET.take(ROWS), property="time_s")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="target: a DataFrame is no dataset"):
        perfport.transfer(sources=[SOURCE], target=FRAME, property="time_s")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="strategy is a int"):
        perfport.transfer(sources=[], target=TARGET.take(ROWS), property="time_s", strategy=3)  # type: ignore[arg-type]


def test_proposing_checks_what_it_is_given() -> None:
    with pytest.raises(UsageError, match=r"budget 2\.5 is no whole number"):
        perfport.propose(sources=[SOURCE], candidates=FRAME, property="time_s", budget=2.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="candidates are a list"):
        perfport.propose(sources=[], candidates=[{"mode": "a"}], property="time_s", budget=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="all of the 8 candidates are measured already"):
        perfport.propose(
            sources=[], candidates=FRAME.iloc[ROWS], property="time_s", budget=1, measured=TARGET.take(ROWS)
        )
    fewer = Dataset.from_frame(FRAME.drop(columns="mode").head(1).assign(time_s=1.0), properties=["time_s"])
    with pytest.raises(SpaceError, match="measured lacks the option 'mode'"):
        perfport.propose(sources=[], candidates=FRAME, property="time_s", budget=1, measured=fewer)
