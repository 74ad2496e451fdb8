import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import TIME, Sampled, Unsure, Written, booleans, numbers

from perfport.advise.influences.explain import explain
from perfport.advise.uncertainty import bootstrap
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property
from perfport.data.tables import read_tables
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.influence import fit_influence_model
from perfport.space.options import Option
from perfport.space.space import Space


def spinning(frame: pd.DataFrame) -> FloatArray:
    """Ten milliseconds, shorter with threads, twice as long when four threads spin."""
    threads = numbers(frame, "threads")
    return np.asarray(0.01 * threads**-0.5 * np.where((threads == 4) & (numbers(frame, "spinning") == 1), 2.0, 1.0))


SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4)),
        Option(name="spinning", type="boolean"),
        Option(name="arena", type="boolean"),
    ]
)


def test_an_irrelevant_option_has_no_share_and_a_flat_curve() -> None:
    explanation = explain(Written(spinning), SPACE)
    assert explanation.share("arena") == pytest.approx(0.0, abs=1e-12)
    assert explanation.share("spinning", "threads") > 0.1
    curve = explanation.curve("arena")
    assert curve.responses[0] == pytest.approx(curve.responses[1])


def test_effect_curves_are_geometric_means_in_the_unit_of_the_property() -> None:
    curve = explain(Written(spinning), SPACE).curve("threads")
    assert curve.levels == (1, 2, 4)
    assert curve.responses == pytest.approx((0.01, 0.01 * 2**-0.5, 0.005 * 2**0.5))
    assert curve.ratio == pytest.approx(2**0.5)


def test_effect_curves_on_the_linear_scale_are_means() -> None:
    curve = explain(Written(spinning), SPACE, scale="linear").curve("threads")
    assert curve.responses == pytest.approx((0.01, 0.01 * 2**-0.5, 0.0075))


def test_without_an_account_of_uncertainty_there_are_no_intervals_and_the_reason_is_given() -> None:
    explanation = explain(Written(spinning), SPACE)
    assert all(influence.lower is None for influence in explanation.influences)
    assert explanation.curve("threads").lower is None
    assert "no refit was given" in str(explanation)


def test_intervals_come_from_the_posterior_where_there_is_one() -> None:
    model = Sampled(spinning, option="arena", sd=0.3)
    explanation = explain(model, SPACE, n_draws=40)
    assert model.asked == [40]
    arena = next(influence for influence in explanation.influences if influence.options == ("arena",))
    threads = next(influence for influence in explanation.influences if influence.options == ("threads",))
    assert arena.lower is not None and arena.upper is not None and arena.upper > 0.1 > arena.share
    assert threads.upper is not None and threads.upper <= threads.share + 1e-9
    curve = explanation.curve("arena")
    assert curve.lower is not None and curve.upper is not None
    assert curve.lower[0] < curve.responses[0] < curve.upper[0]


def test_intervals_come_from_prediction_intervals_otherwise_and_grow_with_them() -> None:
    def width(sd_log: float) -> float:
        influence = explain(Unsure(spinning, sd_log=sd_log), SPACE).influences[0]
        assert influence.lower is not None and influence.upper is not None
        assert influence.lower <= influence.share <= influence.upper
        return influence.upper - influence.lower

    assert width(0.01) < width(0.2)


def test_intervals_from_refits_hold_the_true_share_mostly() -> None:
    space = booleans("a", "b", "c")
    law = Written(lambda frame: np.exp(0.3 * numbers(frame, "a") + 0.2 * numbers(frame, "b")))
    true = explain(law, space)
    configurations = pd.concat(list(space.enumerate()) * 10, ignore_index=True)

    def fit(rows: Dataset) -> Written:
        return Written(fit_influence_model(rows, TIME.name, scale="log", max_order=1).predict)

    hits = 0
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(0, 0.05, len(configurations))
        y = law.predict(configurations) * np.exp(noise)
        dataset = Dataset(space, Environment("here"), {TIME.name: TIME}, configurations, {TIME.name: y})
        # The model also has intervals of its own; what the caller offers is preferred.
        model = Unsure(fit(dataset).law, sd_log=1.0)
        explanation = explain(model, space, refit=bootstrap(fit, dataset), n_draws=40)
        assert explanation.interval_origin == "40 refits"
        found = next(influence for influence in explanation.influences if influence.options == ("a",))
        assert found.lower is not None and found.upper is not None and found.upper - found.lower < 0.2
        hits += found.lower <= true.share("a") <= found.upper
    assert hits >= 5


def test_the_formula_is_short_and_says_how_much_it_explains() -> None:
    explanation = explain(Written(spinning), SPACE)
    assert explanation.formula.startswith("inference_time_s = ")
    assert "threads" in explanation.formula and "arena" not in explanation.formula
    assert explanation.formula_share > 0.9


def brute_force(space: Space, model: Written) -> dict[frozenset[str], float]:
    frame = pd.concat(space.enumerate(), ignore_index=True)
    y = np.log(model.predict(frame))
    shares = {frozenset([n]): float(pd.Series(y).groupby(frame[n]).transform("mean").var(ddof=0)) for n in space.names}
    for i, j in combinations(space.names, 2):
        both = float(pd.Series(y).groupby([frame[i], frame[j]]).transform("mean").var(ddof=0))
        shares[frozenset([i, j])] = both - shares[frozenset([i])] - shares[frozenset([j])]
    return {options: share / y.var() for options, share in shares.items()}


def rough(seed: int, names: tuple[str, ...]) -> Written:
    """A law with main effects, interactions of all orders and steps."""
    rng = np.random.default_rng(seed)
    weights, mixed = rng.normal(size=len(names)), rng.normal(size=(len(names), len(names)))

    def law(frame: pd.DataFrame) -> FloatArray:
        X = np.column_stack([np.log1p(numbers(frame, name)) for name in names])
        return np.asarray(np.exp(0.3 * X @ weights + 0.1 * np.einsum("ni,ij,nj->n", X, mixed, X) + np.sin(3 * X[:, 0])))

    return Written(law)


def test_finite_spaces_up_to_the_limit_are_explained_exactly() -> None:
    space = Space([Option(name=f"o{i}", type="integer", lower=1, upper=5) for i in range(6)])
    model = rough(1, space.names)
    explanation = explain(model, space)
    assert explanation.is_exact and explanation.n_configurations == 15_625
    for options, share in brute_force(space, model).items():
        assert explanation.share(*options) == pytest.approx(share, abs=1e-6)


def test_a_sample_of_a_larger_space_comes_within_two_hundredths() -> None:
    space = Space([Option(name=f"o{i}", type="integer", lower=1, upper=5) for i in range(6)])
    model = rough(2, space.names)
    explanation = explain(model, space, max_rows=5000)
    assert not explanation.is_exact
    for options, share in brute_force(space, model).items():
        assert explanation.share(*options) == pytest.approx(share, abs=0.02)


def test_a_million_configurations_are_explained_from_a_sample() -> None:
    space = Space([Option(name=f"o{i}", type="ordinal", values=tuple(range(10))) for i in range(6)])
    explanation = explain(Written(lambda frame: np.exp(0.1 * numbers(frame, "o1") * numbers(frame, "o2"))), space)
    assert explanation.n_configurations == 20_000
    levels = np.arange(10)
    y = 0.1 * np.outer(levels, levels)
    main = y.mean(axis=0).var() / y.var()
    assert explanation.share("o1") == pytest.approx(main, abs=0.02)
    assert explanation.share("o1", "o2") == pytest.approx(1 - 2 * main, abs=0.02)
    assert explanation.share("o3") < 0.001


def test_float_ranges_are_cut_into_parts_and_the_note_says_so() -> None:
    space = Space([Option(name="clock", type="float", lower=1.0, upper=8.0), Option(name="fast", type="boolean")])
    law = Written(lambda frame: 1 / numbers(frame, "clock") * np.where(numbers(frame, "fast") == 1, 0.8, 1.0))
    explanation = explain(law, space, max_rows=4000)
    curve = explanation.curve("clock")
    assert curve.is_binned and len(curve.levels) == 16
    responses = np.array(curve.responses)
    assert np.all(np.diff(responses) < 0)
    assert responses * np.array(curve.levels, dtype=float) == pytest.approx(np.full(16, 0.8**0.5), rel=0.05)
    assert explanation.share("clock") + explanation.share("fast") > 0.98
    assert any("clock" in note for note in explanation.notes)


def test_inactive_options_take_no_share_from_those_that_activate_them() -> None:
    space = Space(
        [
            Option(name="mode", type="categorical", values=("sequential", "parallel")),
            Option(name="inter", type="ordinal", values=(1, 2, 4)),
            Option(name="arena", type="boolean"),
        ],
        conditions=[{"option": "inter", "when": "mode == 'parallel'"}],
    )
    law = Written(lambda frame: np.where(frame["mode"] == "parallel", 2.0, 1.0) + 0.01 * numbers(frame, "arena"))
    explanation = explain(law, space)
    assert explanation.share("mode") > 0.99
    assert explanation.share("inter") == pytest.approx(0.0, abs=1e-9)


def test_given_configurations_are_those_that_matter() -> None:
    space = booleans("a", "b")
    frame = pd.concat(space.enumerate(), ignore_index=True)
    explanation = explain(Written(lambda f: np.exp(numbers(f, "a"))), space, configurations=frame[frame["b"]])
    assert explanation.n_configurations == 2
    assert [curve.option for curve in explanation.curves] == ["a"]
    assert explanation.share("a") == pytest.approx(1.0)
    with pytest.raises(UsageError, match="options that vary are a"):
        explanation.share("b")
    with pytest.raises(UsageError, match="'b'"):
        explanation.curve("b")


def test_the_result_survives_json_and_is_escaped_in_html() -> None:
    space = booleans("<b>bold</b>", "plain")
    explanation = explain(Written(lambda f: 1.0 + numbers(f, "<b>bold</b>")), space)
    stored = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert stored["influences"][0]["options"] == ["<b>bold</b>"]
    assert "<b>bold</b>" not in explanation._repr_html_()
    assert list(explanation.table().columns) == ["influence", "order", "share", "lower", "upper", "spread"]


def test_the_same_seed_gives_the_same_explanation() -> None:
    space = Space([Option(name=f"o{i}", type="integer", lower=1, upper=5) for i in range(6)])
    model = Unsure(rough(3, space.names).law)
    first, second = (explain(model, space, max_rows=500, seed=7) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"scale": "cubic"}, "known are log, linear"),
        ({"coverage": 1.0}, "between 0 and 1"),
        ({"max_rows": 1}, "at least 2"),
        ({"n_draws": 0}, "at least 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        explain(Unsure(spinning), SPACE, **arguments)  # type: ignore[arg-type]


def test_responses_without_a_logarithm_need_the_linear_scale() -> None:
    model = Written(lambda frame: numbers(frame, "threads") - 2.0, Property("margin", ""))
    with pytest.raises(UsageError, match="scale='linear'"):
        explain(model, SPACE)
    assert explain(model, SPACE, scale="linear").share("threads") == pytest.approx(1.0)


def test_one_configuration_is_too_few() -> None:
    frame = pd.concat(SPACE.enumerate(), ignore_index=True).iloc[:1]
    with pytest.raises(NotEnoughDataError, match="at least two"):
        explain(Written(spinning), SPACE, configurations=frame)


@pytest.mark.paper
def test_the_frequencies_lead_on_the_jetson_as_published(published: Path) -> None:
    tables = read_tables(published / "data" / "opml19_xception_tx2")
    environment = tables.environments["tx2_xception_800"]
    model = fit_influence_model(environment, "inference_time_s", scale="log")
    explanation = explain(model, tables.space, configurations=environment.configurations)
    assert explanation.influences[0].options == ("gpu_freq",)
    curve = explanation.curve("gpu_freq")
    assert list(curve.levels) == sorted(curve.levels)
    assert curve.responses[0] > 2 * curve.responses[-1]


def test_all_pairs_of_a_space_are_reported() -> None:
    explanation = explain(Written(spinning), SPACE)
    found = {frozenset(influence.options) for influence in explanation.influences}
    wanted = {frozenset(pair) for pair in product(SPACE.names, SPACE.names)}
    assert found == wanted


def test_an_option_that_numbers_the_configurations_is_left_out() -> None:
    names = tuple(f"network_{i}" for i in range(200))
    space = Space([Option(name="network", type="categorical", values=names), *booleans("a", "b").options])
    rows = space.sample(250, np.random.default_rng(0))
    law = Written(lambda frame: np.exp(numbers(frame, "a")))
    explanation = explain(law, space, configurations=rows)
    assert explanation.share("a") > 0.99
    assert any("network" in note and "left out" in note for note in explanation.notes)
    with pytest.raises(UsageError, match="options that vary are a, b"):
        explanation.share("network")


def test_levels_keep_their_type_beside_inactive_cells() -> None:
    space = Space(
        [Option(name="parallel", type="boolean"), Option(name="inter", type="ordinal", values=(1, 2, 4))],
        conditions=[{"option": "inter", "when": "parallel == True"}],
    )
    explanation = explain(Written(lambda frame: 1.0 + numbers(frame, "inter")), space)
    assert [type(level) for level in explanation.curve("inter").levels] == [int, int, int]
