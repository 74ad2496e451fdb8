from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError, SpaceError, UsageError
from perfport.model.base import HasNotes, HasTerms, PerformanceModel
from perfport.model.influence import PerformanceInfluenceModel, fit_influence_model
from perfport.space.options import Option
from perfport.space.space import Space

CLOCKS = (345.6, 652.8, 960.0, 1267.2, 1574.4, 2035.2)
OPTIONS = (
    Option(name="clock", type="ordinal", values=CLOCKS),
    Option(name="threads", type="integer", lower=1, upper=4),
    Option(name="mode", type="categorical", values=("sequential", "parallel", "auto")),
    Option(name="arena", type="boolean"),
    Option(name="memory", type="ordinal", values=(800.0, 1600.0)),
)


def grid() -> pd.DataFrame:
    rows = product(CLOCKS, (1, 2, 3, 4), ("sequential", "parallel", "auto"), (False, True), (800.0, 1600.0))
    return pd.DataFrame(list(rows), columns=[option.name for option in OPTIONS])


def measured(y: FloatArray, frame: pd.DataFrame | None = None) -> Dataset:
    frame = (grid() if frame is None else frame).assign(time_s=y)
    return Dataset.from_frame(frame, properties={"time_s": Property("time_s", "s")}, space=Space(OPTIONS))


def planted_time(frame: pd.DataFrame) -> FloatArray:
    is_parallel = (frame["mode"] == "parallel").to_numpy()
    clock, threads = frame["clock"].to_numpy(), frame["threads"].to_numpy()
    return np.asarray(0.21 + 840 / clock + 0.05 * is_parallel * threads + 300 / (clock * threads))


def terms_of(model: PerformanceInfluenceModel) -> dict[str, float]:
    return {term.expression: term.coefficient for term in model.terms()}


PLANTED = {"1/clock": 840, "[mode == 'parallel'] * threads": 0.05, "1/(clock * threads)": 300}


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic", "cv"])
def test_planted_terms_are_recovered_exactly(criterion: str) -> None:
    rows = np.random.default_rng(0).choice(len(grid()), 60, replace=False)
    frame = grid().iloc[rows].reset_index(drop=True)
    model = fit_influence_model(measured(planted_time(frame), frame), "time_s", criterion=criterion)  # type: ignore[arg-type]
    assert terms_of(model) == pytest.approx(PLANTED, rel=1e-8)
    assert model.intercept == pytest.approx(0.21)
    assert model.predict(grid()) == pytest.approx(planted_time(grid()), rel=1e-9)


def test_planted_terms_are_recovered_under_noise() -> None:
    y = planted_time(grid()) * np.exp(0.01 * np.random.default_rng(0).normal(size=len(grid())))
    found = terms_of(fit_influence_model(measured(y), "time_s"))
    assert set(found) == set(PLANTED)
    assert found["1/clock"] == pytest.approx(840, rel=0.02)


def test_factors_of_a_product_are_recovered_on_the_log_scale() -> None:
    frame = grid()
    y = np.exp(-1.0 + 0.3 * frame["arena"]) * frame["clock"] ** -0.8
    model = fit_influence_model(measured(y.to_numpy()), "time_s", scale="log")
    assert terms_of(model) == pytest.approx({"log(clock)": -0.8, "arena": 0.3})
    assert model.formula() == "time_s = exp(-1 - 0.8 * log(clock) + 0.3 * arena)"


def test_the_formula_reads_like_one() -> None:
    model = fit_influence_model(measured(planted_time(grid())), "time_s")
    assert (
        model.formula() == "time_s = 0.21 + 840/clock + 300/(clock * threads) + 0.05 * [mode == 'parallel'] * threads"
    )
    assert str(model) == model.formula()


def test_an_option_whose_name_is_no_word_is_quoted_in_the_formula() -> None:
    frame = pd.DataFrame({"core freq": [1.0, 2.0, 4.0, 8.0, 16.0], "time_s": [3.0, 2.0, 1.5, 1.25, 1.125]})
    model = fit_influence_model(Dataset.from_frame(frame, properties=["time_s"]), "time_s")
    assert model.formula() == "time_s = 1 + 2/`core freq`"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_three_random_terms_are_recovered_from_eighty_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = grid().iloc[rng.choice(len(grid()), 80, replace=False)].reset_index(drop=True)
    effects = {
        "1/clock": 500 / frame["clock"],
        "arena": 1.0 * frame["arena"],
        "[mode == 'parallel']": 1.0 * (frame["mode"] == "parallel"),
        "arena * threads": 0.5 * frame["threads"] * frame["arena"],
        "[mode == 'auto']/threads": (frame["mode"] == "auto") / frame["threads"],
        "arena * memory": frame["memory"] * frame["arena"] / 800,
    }
    chosen = rng.choice(list(effects), 3, replace=False)
    sizes = rng.uniform(0.2, 2, 3)
    y = 2 + sum(size * effects[name] for size, name in zip(sizes, chosen, strict=True))
    model = fit_influence_model(measured(np.asarray(y), frame), "time_s")
    assert model.predict(frame) == pytest.approx(np.asarray(y), rel=1e-8)
    assert set(terms_of(model)) == set(chosen)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-6, 1e6))
def test_neither_the_order_of_rows_and_options_nor_the_unit_matters(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    frame = grid().iloc[rng.choice(len(grid()), 40, replace=False)].reset_index(drop=True)
    y = planted_time(frame) * np.exp(0.05 * rng.normal(size=40))
    here = fit_influence_model(measured(y, frame), "time_s").predict(grid())
    order = rng.permutation(40)
    options = [OPTIONS[i] for i in rng.permutation(len(OPTIONS))]
    shuffled = frame.iloc[order].assign(time_s=factor * y[order])
    other = Dataset.from_frame(shuffled, properties=["time_s"], space=Space(options))
    assert fit_influence_model(other, "time_s").predict(grid()) == pytest.approx(factor * here, rel=1e-6)


def test_influence_is_the_spread_a_term_causes() -> None:
    y = 1 + 0.5 * grid()["arena"].to_numpy()
    (term,) = fit_influence_model(measured(y), "time_s").terms()
    assert (term.options, term.expression) == (("arena",), "arena")
    assert term.influence == pytest.approx(0.25)


def test_an_interaction_of_three_options_is_found_where_asked_for() -> None:
    frame = grid()
    is_slow = (frame["arena"] & (frame["mode"] == "parallel")).to_numpy()
    y = 1 + 0.2 * frame["threads"].to_numpy() + 0.5 * is_slow * frame["threads"].to_numpy()
    model = fit_influence_model(measured(y), "time_s", max_order=3)
    assert terms_of(model) == pytest.approx({"threads": 0.2, "arena * [mode == 'parallel'] * threads": 0.5})
    main_only = fit_influence_model(measured(y), "time_s", max_order=1)
    assert all(len(term.options) == 1 for term in main_only.terms())


def test_strong_heredity_keeps_main_effects_beside_interactions() -> None:
    model = fit_influence_model(measured(planted_time(grid())), "time_s", heredity="strong")
    mains = {term.options[0] for term in model.terms() if len(term.options) == 1}
    assert {option for term in model.terms() for option in term.options} <= mains


def test_ridge_keeps_every_candidate_and_predicts_well() -> None:
    rng = np.random.default_rng(0)
    frame = grid().iloc[rng.choice(len(grid()), 100, replace=False)].reset_index(drop=True)
    model = fit_influence_model(measured(planted_time(frame), frame), "time_s", selection="ridge")
    assert len(model.terms()) > 40
    assert np.abs(model.predict(grid()) / planted_time(grid()) - 1).max() < 0.02


def test_the_number_of_terms_can_be_limited() -> None:
    model = fit_influence_model(measured(planted_time(grid())), "time_s", max_terms=2)
    assert len(model.terms()) == 2


def test_inactive_options_contribute_nothing() -> None:
    frame = pd.DataFrame({"parallel": [False, False, True, True, True, True] * 3})
    frame["inner"] = [np.nan, np.nan, 1, 2, 4, 8] * 3
    frame["time_s"] = np.where(frame["parallel"], 2 + 3 / frame["inner"], 1.0)
    inner = Option(name="inner", type="integer", lower=1, upper=8)
    space = Space([Option(name="parallel", type="boolean"), inner], [{"option": "inner", "when": "parallel == True"}])
    model = fit_influence_model(Dataset.from_frame(frame, properties=["time_s"], space=space), "time_s")
    assert model.predict(frame) == pytest.approx(frame["time_s"].to_numpy())


def test_rows_that_failed_are_dropped_with_a_note() -> None:
    y = planted_time(grid())
    y[[3, 5]] = 0
    y[7] = np.nan
    model = fit_influence_model(measured(y), "time_s")
    assert terms_of(model) == pytest.approx(PLANTED)
    assert model.notes == (f"environment 'unnamed': 3 of {len(y)} rows dropped, their 'time_s' is not positive",)


def test_one_row_is_enough_for_a_constant() -> None:
    model = fit_influence_model(measured(np.array([2.5]), grid().head(1)), "time_s")
    assert model.terms() == ()
    assert model.formula() == "time_s = 2.5"
    assert model.predict(grid().head(3)) == pytest.approx([2.5] * 3)


def test_levels_far_outside_the_measured_ones_do_not_explode_on_the_log_scale() -> None:
    frame = pd.DataFrame({"tokens": [100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0]})
    y = np.exp(300 / frame["tokens"]).to_numpy() * [1, 1.001, 1, 1.001, 1, 1.001]
    model = fit_influence_model(
        Dataset.from_frame(frame.assign(time_s=y), properties=["time_s"]), "time_s", scale="log"
    )
    reach = np.sqrt(y.max() / y.min())
    at_the_edge = model.predict(pd.DataFrame({"tokens": [1.0, 0.0, -5.0, np.nan]}))
    assert np.all((at_the_edge >= y.min() / reach) & (at_the_edge <= y.max() * reach * (1 + 1e-9)))


def test_too_many_options_are_crossed_only_where_it_matters_and_said_so() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 2, (150, 80)), columns=[f"o{i}" for i in range(80)])
    y = 3 + frame["o3"] + frame["o7"] + frame["o3"] * frame["o7"]
    model = fit_influence_model(Dataset.from_frame(frame.assign(time_s=y), properties=["time_s"]), "time_s")
    assert set(terms_of(model)) == {"o3", "o7", "o3 * o7"}
    assert model.notes == ("interactions were sought among the 63 most influential of 80 options",)


def test_the_model_keeps_the_protocols() -> None:
    model: PerformanceModel = fit_influence_model(measured(planted_time(grid())), "time_s")
    assert isinstance(model, HasTerms)
    assert isinstance(model, HasNotes)


def test_a_missing_option_is_named() -> None:
    model = fit_influence_model(measured(planted_time(grid())), "time_s")
    with pytest.raises(SpaceError, match="no option 'clock'"):
        model.predict(grid().drop(columns="clock"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scale": "cubic"}, "known are linear, log"),
        ({"selection": "best"}, "known are stepwise, forward, ridge"),
        ({"heredity": "full"}, "known are none, weak, strong"),
        ({"criterion": "r2"}, "known are aic"),
        ({"max_order": 0}, "1 .main effects. or more"),
        ({"forms": ["square"]}, "unknown form 'square': known are level, log, reciprocal"),
        ({"forms": ["level", "is"]}, "unknown form 'is'"),
        ({"forms": []}, "forms is empty; give one or more of level, log, reciprocal"),
    ],
)
def test_unknown_settings_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fit_influence_model(measured(planted_time(grid())), "time_s", **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="none of 288 rows has a positive 'time_s'"):
        fit_influence_model(measured(np.zeros(288)), "time_s")
    with pytest.raises(UsageError, match="no property 'energy_j'"):
        fit_influence_model(measured(planted_time(grid())), "energy_j")
