import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError, UnknownPluginError
from perfport.model.base import HasNotes, PerformanceModel
from perfport.model.metrics import mape_pct
from perfport.transfer.base import TransferStrategy
from perfport.transfer.baselines import DirectReuse, Pooled, Residual, Scaled, TargetOnly
from perfport.transfer.surface import source_surface

FRAME = pd.DataFrame(
    [(c, t, m) for c in (400.0, 800.0, 1200.0, 1600.0, 2000.0) for t in (1, 2, 3, 4) for m in ("a", "b", "c")],
    columns=["clock", "threads", "mode"],
)
SOURCE_TIME = (0.2 + 400 / FRAME["clock"] / FRAME["threads"] + 0.3 * (FRAME["mode"] == "b")).to_numpy()
STRATEGIES: list[TransferStrategy] = [TargetOnly(), DirectReuse(), Scaled(), Residual(), Pooled()]


def dataset(y: FloatArray, name: str = "target") -> Dataset:
    return Dataset.from_frame(FRAME.assign(time_s=y), properties=["time_s"], environment=name)


def fitted(strategy: TransferStrategy, target: Dataset, *sources: Dataset) -> PerformanceModel:
    return strategy.fit(sources, target, property="time_s", rng=np.random.default_rng(0))


def test_target_only_forgets_the_sources() -> None:
    rows = dataset(3 * SOURCE_TIME).take(range(0, 60, 2))
    alone = fitted(TargetOnly("forest"), rows).predict(FRAME)
    beside = fitted(TargetOnly("forest"), rows, dataset(SOURCE_TIME, "source")).predict(FRAME)
    assert beside.tolist() == alone.tolist()


def test_direct_reuse_answers_the_readings_of_the_source() -> None:
    model = fitted(DirectReuse(), dataset(3 * SOURCE_TIME).take([0, 9]), dataset(SOURCE_TIME, "source"))
    assert model.predict(FRAME).tolist() == SOURCE_TIME.tolist()


@given(factor=st.floats(1e-3, 1e3), row=st.integers(0, 59))
@settings(deadline=None)
def test_scaled_recovers_a_factor_from_one_row(factor: float, row: int) -> None:
    model = fitted(Scaled(), dataset(factor * SOURCE_TIME).take([row]), dataset(SOURCE_TIME, "source"))
    assert model.predict(FRAME) == pytest.approx(factor * SOURCE_TIME, rel=1e-12)


def test_residual_learns_what_a_factor_leaves() -> None:
    y = 2 * SOURCE_TIME * np.where(FRAME["mode"] == "c", 3.0, 1.0)
    rows = dataset(y).take(np.random.default_rng(0).choice(60, 20, replace=False))
    source = dataset(SOURCE_TIME, "source")
    assert mape_pct(y, fitted(Residual("tree"), rows, source).predict(FRAME)) < 1e-6
    assert mape_pct(y, fitted(Scaled(), rows, source).predict(FRAME)) > 30


def test_residual_of_one_row_is_the_scaled_source() -> None:
    rows, source = dataset(2 * SOURCE_TIME).take([7]), dataset(SOURCE_TIME, "source")
    assert fitted(Residual(), rows, source).predict(FRAME) == pytest.approx(2 * SOURCE_TIME)


def test_pooled_tells_environments_apart() -> None:
    rows = dataset(5 * SOURCE_TIME).take(range(0, 60, 3))
    model = fitted(Pooled("extra_trees"), rows, dataset(SOURCE_TIME, "one"), dataset(2 * SOURCE_TIME, "two"))
    assert mape_pct(5 * SOURCE_TIME, model.predict(FRAME)) < 25
    assert model.predict(FRAME.head(0)).shape == (0,)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_baseline_answers_from_the_first_row_on(strategy: TransferStrategy, n: int) -> None:
    model = fitted(strategy, dataset(3 * SOURCE_TIME).take(range(n)), dataset(SOURCE_TIME, "source"))
    predicted = model.predict(FRAME)
    assert predicted.shape == (60,)
    assert np.all(np.isfinite(predicted) & (predicted > 0))
    assert model.property.name == "time_s"


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_a_source_that_cannot_tell_an_option_is_still_of_use(strategy: TransferStrategy) -> None:
    target = dataset(3 * SOURCE_TIME)
    blind = Dataset(
        space=target.space,
        environment=target.environment,
        properties=target.properties,
        configurations=FRAME.assign(clock=np.nan),
        responses={"time_s": SOURCE_TIME},
    )
    assert np.all(np.isfinite(fitted(strategy, target.take(range(8)), blind).predict(FRAME)))


@pytest.mark.parametrize("strategy", [DirectReuse(), Scaled(), Residual()], ids=lambda s: type(s).__name__)
def test_the_best_of_several_sources_is_taken_and_named(strategy: TransferStrategy) -> None:
    shuffled = np.random.default_rng(0).permutation(SOURCE_TIME)
    sources = dataset(shuffled, "unlike"), dataset(SOURCE_TIME, "alike")
    model = fitted(strategy, dataset(1.1 * SOURCE_TIME).take([3, 14, 25, 36, 47]), *sources)
    assert isinstance(model, HasNotes)
    assert model.notes[0].startswith("source 'alike' was chosen of 2: it predicts target rows left out best")
    assert mape_pct(1.1 * SOURCE_TIME, model.predict(FRAME)) < 11


def test_one_target_row_takes_the_nearest_source() -> None:
    sources = dataset(10 * SOURCE_TIME, "far"), dataset(2 * SOURCE_TIME, "near")
    model = fitted(Scaled(), dataset(SOURCE_TIME).take([0]), *sources)
    assert isinstance(model, HasNotes)
    assert "'near' was chosen" in model.notes[0]


@pytest.mark.parametrize("strategy", [DirectReuse(), Scaled(), Residual()], ids=lambda s: type(s).__name__)
def test_reuse_without_a_source_is_refused(strategy: TransferStrategy) -> None:
    with pytest.raises(NotEnoughDataError, match="at least one, or use strategy 'target_only'"):
        fitted(strategy, dataset(SOURCE_TIME))


def test_pooled_without_a_source_learns_from_the_target() -> None:
    assert mape_pct(SOURCE_TIME, fitted(Pooled(), dataset(SOURCE_TIME)).predict(FRAME)) < 10


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(UnknownPluginError, match="unknown learner 'oracle'"):
        fitted(DirectReuse("oracle"), dataset(SOURCE_TIME), dataset(SOURCE_TIME, "source"))


def test_a_surface_answers_the_median_of_replicates_and_models_the_rest() -> None:
    frame = pd.concat([FRAME.head(40)] * 3, ignore_index=True)
    y = np.concatenate([SOURCE_TIME[:40] * factor for factor in (0.9, 1.0, 5.0)])
    source = Dataset.from_frame(frame.assign(time_s=y), properties=["time_s"])
    surface = source_surface(source, property="time_s")
    assert surface.is_measured(FRAME).tolist() == [True] * 40 + [False] * 20
    assert surface.predict(FRAME)[:40] == pytest.approx(SOURCE_TIME[:40])
    assert np.all(surface.predict(FRAME)[40:] > 0)


def test_a_surface_does_not_depend_on_the_order_of_rows() -> None:
    source, order = dataset(SOURCE_TIME).take(range(30)), np.random.default_rng(0).permutation(30)
    here = source_surface(source, property="time_s").predict(FRAME)
    assert source_surface(source.take(order), property="time_s").predict(FRAME) == pytest.approx(here, rel=1e-12)
