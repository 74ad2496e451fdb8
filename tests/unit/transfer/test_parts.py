"""A response that is a sum: its parts are found, and a target that scales one of them is foretold."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.model.metrics import mape_pct
from perfport.space.encoding import Encoder
from perfport.space.options import Level, Option, OptionType
from perfport.space.space import Space
from perfport.transfer.api import propose, transfer
from perfport.transfer.auto import fitted_members, prior_of, target_rows
from perfport.transfer.members import PartsMember
from perfport.transfer.parts import PLACE_SPREAD, REST_SPREAD, PartOf, Parts, fit_parts, loadings_of, rescaled


def summed(clock: float = 1.0, cache: float = 1.0) -> FloatArray:
    """Time is a constant, what the clock costs, what a missing cache costs, and what mode b costs."""
    by_clock = clock * 8e8 / FRAME["clock_hz"].to_numpy(dtype=np.float64)
    by_cache = cache * (1.0 - FRAME["cache"].to_numpy(dtype=np.float64))
    return np.asarray(0.5 + by_clock + by_cache + 0.3 * (FRAME["mode"] == "b"), dtype=np.float64)


def encoded() -> tuple[Encoder, FloatArray]:
    encoder = Encoder(dataset(summed(), "source").space, fitted_on=FRAME)
    return encoder, encoder.transform(FRAME)


def fitted(y: FloatArray) -> tuple[Parts, FloatArray]:
    encoder, X = encoded()
    parts = fit_parts(encoder.columns, encoder.groups, X, y)
    return parts, parts.of(X)


def test_what_each_option_adds_is_found() -> None:
    parts, added = fitted(summed())
    found = dict(zip((*(name.option for name in parts.names), "constant"), added, strict=True))
    np.testing.assert_allclose(added.sum(axis=0), summed(), rtol=0.02)
    clock = 8e8 / FRAME["clock_hz"]
    np.testing.assert_allclose(found["clock_hz"] - found["clock_hz"].min(), clock - clock.min(), atol=0.03)
    np.testing.assert_allclose(found["cache"], 1.0 - FRAME["cache"].astype(float), atol=0.03)
    assert found["constant"][0] == pytest.approx(0.5 + clock.min(), abs=0.05)
    assert {"threads", "idle"}.isdisjoint(found)
    assert (added >= 0).all()


def test_a_response_that_no_option_moves_is_constant() -> None:
    parts, added = fitted(np.full(len(FRAME), 3.0))
    assert parts.names == ()
    np.testing.assert_allclose(added, 3.0, rtol=1e-3)


def test_levels_not_seen_add_what_the_nearest_do() -> None:
    encoder, _ = encoded()
    parts, _ = fitted(summed())
    beyond = FRAME.iloc[[0, 0]].assign(clock_hz=[4e8, 3.9e8], mode=["a", "unheard of"])
    near, far = parts.of(encoder.transform(beyond)).T
    np.testing.assert_allclose(far, near, atol=0.03)


def test_derivatives_are_those_of_the_gain() -> None:
    rng = np.random.default_rng(0)
    parts = np.vstack([rng.uniform(0.1, 2.0, (3, 6)), rng.normal(0.0, 0.1, 6)])
    loadings = loadings_of([PartOf("edge1", ("edges", "conv")), PartOf("clock_hz")])
    at, step = rng.normal(0.0, 0.5, 5), 1e-6
    _, slopes = rescaled(parts, loadings, at, 0.7)
    for change, e in enumerate(step * np.eye(5)):
        numeric = (rescaled(parts, loadings, at + e, 0.7)[0] - rescaled(parts, loadings, at - e, 0.7)[0]) / (2 * step)
        np.testing.assert_allclose(slopes[change], numeric, atol=1e-8)
    np.testing.assert_allclose(rescaled(parts, loadings, np.zeros(5), 0.7)[0], 0.0, atol=1e-15)
    same_factor = [0.0, 1.0, 1.0, 1.0, 1.0 / REST_SPREAD]
    np.testing.assert_allclose(rescaled(parts, loadings, np.asarray(same_factor), 1.0)[0], 1.0)


def test_a_level_of_a_group_is_one_kind_of_work_in_all_its_places() -> None:
    names = [
        PartOf("clock_hz"),
        *(PartOf(edge, ("edges", op)) for edge in ("edge1", "edge2") for op in ("conv", "pool")),
    ]
    place = PLACE_SPREAD
    np.testing.assert_array_equal(
        loadings_of(names),
        # clock_hz, edge1, conv, pool, edge2, the constant, the rest
        [
            [1, 0, 0, 0, 0, 0, 0],
            [0, place, 1, 0, 0, 0, 0],
            [0, place, 0, 1, 0, 0, 0],
            [0, 0, 1, 0, place, 0, 0],
            [0, 0, 0, 1, place, 0, 0],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, REST_SPREAD],
        ],
    )


@pytest.mark.parametrize(
    ("kind", "levels", "expected"),
    [
        ("categorical", ("none", "conv", "pool"), {"conv", "pool"}),
        ("ordinal", (0, 3, 5), {None}),
        ("boolean", (), {None}),
    ],
)
def test_levels_of_a_group_are_parts_of_their_own_unless_they_are_ordered(
    kind: OptionType, levels: tuple[Level, ...], expected: set[Level | None]
) -> None:
    space = Space([Option(name=f"layer{i}", type=kind, values=levels or None, group="layer") for i in range(3)])
    frame = space.sample(60, np.random.default_rng(0))
    encoder = Encoder(space, fitted_on=frame)
    costs = {level: float(cost) for cost, level in enumerate(levels or (False, True))}
    y = np.asarray(1.0 + sum(frame[layer].map(costs) for layer in frame), dtype=np.float64)
    parts = fit_parts(encoder.columns, encoder.groups, encoder.transform(frame), y)
    assert {name.kind for name in parts.names} == {("layer", level) for level in expected}
    np.testing.assert_allclose(parts.of(encoder.transform(frame)).sum(axis=0), y, rtol=0.02)


def test_a_negative_rest_never_eats_up_the_response() -> None:
    gain, slopes = rescaled(np.array([[1.0], [-0.9]]), loadings_of([]), np.array([0.0, 2.0]), 1.0)
    assert np.isfinite(gain).all()
    assert np.isfinite(slopes).all()


def test_the_parts_of_a_prior_sum_to_what_the_sources_predict() -> None:
    sources = [dataset(summed(), "one"), dataset(summed(clock=2.0) * 3.0, "two")]
    target = dataset(summed(), "target").take(np.arange(0, 144, 20))
    prior = prior_of(sources, target, "time_s")
    seen = prior.see(FRAME)
    np.testing.assert_allclose(seen.parts.sum(axis=0), np.exp(prior.sd * seen.f))
    assert np.abs(seen.parts[-1] / seen.parts.sum(axis=0)).mean() < 0.1


@pytest.mark.parametrize("how", ["random", "proposed"])
def test_a_target_that_scales_one_part_is_foretold_from_a_few_rows(how: str) -> None:
    source, y = dataset(summed(), "source"), summed(clock=5.0)
    rows = (
        np.random.default_rng(1).choice(len(FRAME), 8, replace=False)
        if how == "random"
        else propose(sources=[source], candidates=FRAME, property="time_s", budget=8)
    )
    target = dataset(y, "target").take(rows)
    prior = prior_of([source], target, "time_s")
    known, seen = target_rows(prior, target, "time_s"), prior.see(FRAME)
    cross, diagonals = prior.kernels(seen, known.seen), prior.diagonals(seen)

    def error_pct(name: str) -> float:
        z, _ = fitted_members(known, prior)[name].predict(seen, cross, diagonals)
        return mape_pct(y, np.exp(prior.mean + prior.sd * z))

    assert error_pct("parts") < 3.0
    assert error_pct("parts") < 0.5 * error_pct("around_source")
    model = transfer(sources=[source], target=target, property="time_s")
    assert model.verdict.weights["member:parts"] > 0.4
    assert mape_pct(y, model.predict(FRAME)) < 4.0


LAYERS = [f"layer{i}" for i in range(6)]
NETWORKS = pd.DataFrame(np.random.default_rng(0).choice(["none", "conv", "pool"], (300, len(LAYERS))), columns=LAYERS)


def layered(conv: float, *, grouped: bool, environment: str) -> Dataset:
    """Time is what every layer costs: the later, the less; a convolution `conv`, pooling 0.5 as much as it should."""
    cost = {"none": 0.0, "conv": conv, "pool": 0.5}
    y = 1.0 + sum(NETWORKS[layer].map(cost) / (1 + i) for i, layer in enumerate(LAYERS))
    options = [
        Option(name=layer, type="categorical", values=("none", "conv", "pool"), group="layer" if grouped else "")
        for layer in LAYERS
    ]
    return Dataset.from_frame(
        NETWORKS.assign(time_s=y), properties={"time_s": "s"}, options=options, environment=environment
    )


def test_a_target_with_slower_convolutions_is_foretold_where_layers_are_a_group() -> None:
    def error_pct(*, grouped: bool) -> float:
        target = layered(4.0, grouped=grouped, environment="target")
        rows = target.take(np.random.default_rng(1).choice(len(NETWORKS), 8, replace=False))
        source = layered(1.0, grouped=grouped, environment="source")
        model = transfer(sources=[source], target=rows, property="time_s")
        return mape_pct(target.responses["time_s"], model.predict(NETWORKS))

    assert error_pct(grouped=True) < 3.0
    assert error_pct(grouped=True) < 0.5 * error_pct(grouped=False)


def test_one_row_or_equal_rows_are_no_problem() -> None:
    source = dataset(summed(), "source")
    for rows in ([0], [5, 5, 5]):
        target = dataset(summed(clock=5.0), "target").take(np.asarray(rows))
        prior = prior_of([source], target, "time_s")
        member = fitted_members(target_rows(prior, target, "time_s"), prior)["parts"]
        assert isinstance(member, PartsMember)
        assert np.isfinite(member.changes).all()
        assert np.isfinite(transfer(sources=[source], target=target, property="time_s").predict(FRAME)).all()


def test_an_option_only_one_source_varies_keeps_its_part() -> None:
    fixed = FRAME["cache"].to_numpy(dtype=bool)
    one = dataset(summed()[fixed], "one", frame=FRAME[fixed].reset_index(drop=True))
    target = dataset(summed(), "target").take(np.arange(0, 144, 12))
    model = transfer(sources=[one, dataset(summed(), "two")], target=target, property="time_s")
    assert mape_pct(summed(), model.predict(FRAME)) < 3.0


def test_what_is_encoded_as_missing_adds_the_average() -> None:
    encoder, _ = encoded()
    parts, _ = fitted(summed())
    gone = FRAME.iloc[[0]].assign(cache=pd.Series([None], dtype=object))
    added = parts.of(encoder.transform(gone))[parts.names.index(PartOf("cache")), 0]
    assert added == pytest.approx(0.5, abs=0.05)
