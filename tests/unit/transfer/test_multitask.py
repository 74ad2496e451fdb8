import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.model.base import PredictsInterval, PredictsMedian
from perfport.model.metrics import mape_pct
from perfport.transfer.api import transfer
from perfport.transfer.multitask import MAX_SOURCE_ROWS, MultiTask, MultiTaskModel
from perfport.transfer.transferred import TransferredModel

SOURCE = dataset(noisy(log_time(FRAME), 1), "old")
TARGET = dataset(noisy(1.0 + log_time(FRAME, threads=-0.4), 2), "new")
ROWS = np.random.default_rng(0).permutation(len(FRAME))


def made(n: int, *sources: Dataset, target: Dataset = TARGET, rank: int = 1) -> TransferredModel:
    return transfer(sources=sources, target=target.take(ROWS[:n]), property="time_s", strategy=MultiTask(rank=rank))


def error(model: TransferredModel, n: int, target: Dataset = TARGET) -> float:
    rest = ROWS[n:]
    return mape_pct(target.response("time_s")[rest], model.predict(FRAME.iloc[rest]))


def test_a_related_source_saves_most_of_the_error() -> None:
    alone, with_source = made(8), made(8, SOURCE)
    assert error(with_source, 8) < 0.5 * error(alone, 8)
    assert with_source.verdict.decision == "helped"
    assert alone.verdict.decision == "no source"


def test_the_verdict_says_how_alike_the_environments_are() -> None:
    notes = made(12, SOURCE).verdict.notes
    said = next(note for note in notes if "correlation" in note)
    assert float(said.rsplit(" ", 1)[1]) > 0.8


def test_a_reversed_source_is_used_the_other_way_round() -> None:
    mirror = dataset(noisy(-log_time(FRAME), 3), "mirror")
    assert error(made(20, mirror), 20) < 1.1 * error(made(20), 20)


@pytest.mark.parametrize("rank", [1, 2])
def test_several_sources_of_which_one_is_of_use(rank: int) -> None:
    unrelated = dataset(np.exp(np.random.default_rng(4).normal(size=len(FRAME))), "noise")
    assert error(made(12, SOURCE, unrelated, rank=rank), 12) < 12.0


def test_intervals_hold_about_as_many_readings_as_they_say() -> None:
    model = made(20, SOURCE)
    assert isinstance(model.model, PredictsInterval)
    assert isinstance(model.model, PredictsMedian)
    rest = ROWS[20:]
    y = TARGET.response("time_s")[rest]
    lower, upper = model.predict_interval(FRAME.iloc[rest], coverage=0.9)
    assert 0.75 < np.mean((lower <= y) & (y <= upper)) <= 1.0
    median = model.predict_median(FRAME.iloc[rest])
    assert np.all((lower < median) & (median < upper))
    assert np.all(model.predict(FRAME.iloc[rest]) <= median)
    inner = model.predict_interval(FRAME.iloc[rest], coverage=0.5)
    assert np.all((lower < inner[0]) & (inner[1] < upper))


def test_known_errors_of_readings_are_respected() -> None:
    y = np.exp(1.0 + log_time(FRAME))
    y[ROWS[0]] *= 4.0
    rows = ROWS[:15]
    believed = transfer(sources=[SOURCE], target=dataset(y, "new").take(rows), property="time_s", strategy="multitask")
    log_se = np.full(len(FRAME), 0.01)
    log_se[ROWS[0]] = 2.0
    doubted = Dataset(
        space=TARGET.space,
        environment=TARGET.environment,
        properties=TARGET.properties,
        configurations=TARGET.configurations,
        responses={"time_s": y},
        log_se={"time_s": log_se},
    ).take(rows)
    better = transfer(sources=[SOURCE], target=doubted, property="time_s", strategy="multitask")
    truth = np.exp(1.0 + log_time(FRAME))[ROWS[15:]]
    rest = FRAME.iloc[ROWS[15:]]
    assert mape_pct(truth, better.predict(rest)) < mape_pct(truth, believed.predict(rest))


def test_large_sources_are_thinned_by_content_and_it_is_said() -> None:
    many = Dataset.from_frame(
        FRAME.loc[FRAME.index.repeat(5)].assign(time_s=np.repeat(SOURCE.response("time_s"), 5)),
        properties={"time_s": "s"},
        environment="many",
    )
    shuffled = many.take(np.random.default_rng(5).permutation(len(many)))
    model, again = made(5, many), made(5, shuffled)
    assert any(f"{MAX_SOURCE_ROWS} of {len(many)} rows" in note for note in model.verdict.notes)
    np.testing.assert_allclose(model.predict(FRAME), again.predict(FRAME), rtol=1e-9)
    assert isinstance(model.model, MultiTaskModel)
    assert len(model.model.rows.X) == MAX_SOURCE_ROWS + 5


@pytest.mark.parametrize("sources", [[], [SOURCE]])
def test_one_row_and_one_distinct_response_are_enough(sources: list[Dataset]) -> None:
    one = made(1, *sources)
    assert one.verdict.estimated_error_pct is None
    assert np.all(np.isfinite(one.predict(FRAME)))
    constant = dataset(np.full(len(FRAME), 3.0), "new")
    model = made(6, *sources, target=constant)
    assert error(model, 6, constant) < 25.0
    assert model.predict(FRAME.head(0)).shape == (0,)


@pytest.mark.parametrize("strategy", [MultiTask(rank=0), MultiTask(max_source_rows=0)])
def test_settings_that_make_no_sense_are_refused(strategy: MultiTask) -> None:
    with pytest.raises(UsageError, match="must be 1 or more"):
        transfer(sources=[SOURCE], target=TARGET.take(ROWS[:3]), property="time_s", strategy=strategy)
