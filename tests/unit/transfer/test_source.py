import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.model import threads
from perfport.transfer.kernels import CombinedSource, source_weights
from perfport.transfer.source import SourceModel, cached_sources, fit_source

CLEAN = dataset(np.exp(log_time(FRAME)), "clean")


@pytest.fixture(scope="module")
def model() -> SourceModel:
    return fit_source(CLEAN, property="time_s")


def test_a_source_predicts_its_own_rows_from_the_others(model: SourceModel) -> None:
    z = (log_time(FRAME) - model.mean) / model.sd
    f = model.predict(FRAME)
    assert np.corrcoef(f, z)[0, 1] > 0.98
    np.testing.assert_allclose(model.predict_known(FRAME), z, atol=1e-6)
    assert model.residual_variance == pytest.approx(np.mean((z - f) ** 2), rel=1e-6)


def test_only_rows_the_source_measured_have_a_residual(model: SourceModel) -> None:
    new = FRAME.assign(clock_hz=6e8)
    view = model.view(pd.concat([FRAME.head(5), new.head(5)], ignore_index=True))
    assert view.is_known.tolist() == [True] * 5 + [False] * 5
    assert np.all(view.r[5:] == 0)


def test_influential_options_are_told_from_idle_ones(model: SourceModel) -> None:
    base = FRAME.iloc[[0]]
    far = {
        name: model.kernels(model.view(base), model.view(base.assign(**{name: level})))
        for name, level in {"threads": 4, "idle": 1}.items()
    }
    for kernel in ("ard", "forest"):
        assert far["idle"][kernel][0, 0] > far["threads"][kernel][0, 0]


def test_kernels_are_symmetric_semi_definite_and_agree_with_their_diagonals(model: SourceModel) -> None:
    other = fit_source(dataset(noisy(log_time(FRAME, mode_b=0.9), 3), "other"), property="time_s")
    for models in ([model], [model, other]):
        prior = CombinedSource(models, np.full(len(models), 1 / len(models)))
        seen = prior.see(FRAME.iloc[::5])
        stack = prior.kernels(seen, seen)
        assert len(stack) == len(prior.names)
        for name, K, diagonal in zip(prior.names, stack, prior.diagonals(seen), strict=True):
            np.testing.assert_allclose(K, K.T, atol=1e-9, err_msg=name)
            np.testing.assert_allclose(np.diag(K), diagonal, atol=1e-9, err_msg=name)
            assert np.linalg.eigvalsh(K).min() > -1e-7 * max(1.0, np.trace(K)), name


def test_repeats_are_averaged() -> None:
    twice = dataset(np.concatenate([np.full(len(FRAME), 1.0), np.full(len(FRAME), 4.0)]), "s", pd.concat([FRAME] * 2))
    model = fit_source(twice, property="time_s")
    assert model.mean == pytest.approx(np.log(2.0))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_source_of_few_rows_can_be_fitted(n: int) -> None:
    model = fit_source(CLEAN.take(range(0, n * 20, 20)), property="time_s")
    assert np.all(np.isfinite(model.predict(FRAME)))


def test_sources_that_agree_with_the_target_count_more() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=12)
    predictions = np.stack([truth + 0.01 * rng.normal(size=12), rng.normal(size=12)])
    weights = source_weights(predictions, 3.0 + truth, np.ones(2))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.9
    np.testing.assert_allclose(source_weights(np.stack([truth, truth]), truth, np.ones(2)), [0.5, 0.5], atol=1e-6)


def test_sources_fitted_on_several_threads_are_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [dataset(noisy(log_time(FRAME, mode_b=0.1 * k), k), f"s{k}") for k in range(4)]
    monkeypatch.setattr(threads, "_n_threads", lambda: 4)
    found = cached_sources(several, property="time_s")
    assert all(a is b for a, b in zip(found, cached_sources(several, property="time_s"), strict=True))
    for source, model in zip(several, found, strict=True):
        np.testing.assert_array_equal(
            model.predict_known(FRAME), fit_source(source, property="time_s").predict_known(FRAME)
        )
