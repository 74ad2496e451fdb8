import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.advise.models import Written, booleans, numbers

from perfport.advise.influences import shapley
from perfport.advise.influences.difference import explain_difference
from perfport.advise.influences.shapley import Split, split
from perfport.data.measurement import FloatArray, Property
from perfport.errors import InvalidConfigurationError
from perfport.space.options import Level, Option
from perfport.space.space import Space


def table_game(worth: FloatArray, n: int) -> shapley.Game:
    return lambda members: worth[(members * (1 << np.arange(n))).sum(axis=1).astype(int)]


def by_orders(worth: FloatArray, n: int) -> FloatArray:
    values = np.zeros(n)
    for order in permutations(range(n)):
        members = 0
        for player in order:
            values[player] += worth[members | 1 << player] - worth[members]
            members |= 1 << player
    return np.asarray(values / len(list(permutations(range(n)))))


def paired_total(found: Split) -> float:
    return float(found.alone.sum() + np.triu(found.together).sum())


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 6), seed=st.integers(0, 1000))
def test_exact_values_are_averages_over_all_orders(n: int, seed: int) -> None:
    worth = np.random.default_rng(seed).normal(size=2**n)
    found = split(table_game(worth, n), n, rng=np.random.default_rng(0))
    assert found.values == pytest.approx(by_orders(worth, n))
    assert found.values.sum() == pytest.approx(found.total)
    assert paired_total(found) == pytest.approx(found.total)


def test_drawn_orders_sum_exactly_and_come_near(monkeypatch: pytest.MonkeyPatch) -> None:
    worth = np.random.default_rng(1).normal(size=2**5)
    exact = split(table_game(worth, 5), 5, rng=np.random.default_rng(0))
    monkeypatch.setattr(shapley, "MOST_EXACT", 4)
    drawn = split(table_game(worth, 5), 5, rng=np.random.default_rng(0))
    assert drawn.n_orders is not None
    assert drawn.values.sum() == pytest.approx(drawn.total, abs=1e-9)
    assert paired_total(drawn) == pytest.approx(drawn.total, abs=1e-9)
    assert np.abs(drawn.values - exact.values).max() < 5 * drawn.standard_errors.max() + 1e-9
    assert drawn.together == pytest.approx(exact.together, abs=0.2)


SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4)),
        Option(name="spinning", type="boolean"),
        Option(name="mode", type="categorical", values=("sequential", "parallel")),
        Option(name="inter", type="ordinal", values=(1, 2)),
    ],
    conditions=[{"option": "inter", "when": "mode == 'parallel'"}],
)
SLOW: dict[str, Level | None] = {"threads": 4, "spinning": True, "mode": "parallel", "inter": 2}
FAST: dict[str, Level | None] = {"threads": 1, "spinning": False, "mode": "sequential", "inter": None}


def law(frame: pd.DataFrame) -> FloatArray:
    """Spinning costs 38 ms, but only with four threads; parallel mode costs 4 ms and 1 ms an inter-op thread."""
    spins = (numbers(frame, "threads") == 4) & (numbers(frame, "spinning") == 1)
    parallel = (frame["mode"] == "parallel").to_numpy(float)
    # A model must never be asked for a parallel run without its threads, or the other way round.
    assert np.all(frame["inter"].notna().to_numpy() == (parallel == 1))
    return np.asarray(0.020 + 0.038 * spins + 0.004 * parallel + 0.001 * numbers(frame, "inter"))


def test_options_that_act_together_are_named_together() -> None:
    difference = explain_difference(Written(law), SLOW, FAST, space=SPACE)
    assert str(difference) == (
        "3.2x slower (20.0 ms to 64.0 ms): +38.0 ms from threads=4 with spinning=on, "
        "+6.00 ms from mode=parallel, inter=2"
    )
    assert difference.pairs["threads", "spinning"] == pytest.approx(0.038)
    assert difference.options == pytest.approx({"threads": 0.019, "spinning": 0.019, "mode": 0.006})


def test_the_way_back_is_the_opposite() -> None:
    there = explain_difference(Written(law), SLOW, FAST, space=SPACE)
    back = explain_difference(Written(law), FAST, SLOW, space=SPACE)
    assert [part.change for part in back.contributions] == pytest.approx([-part.change for part in there.contributions])
    assert "3.2x faster" in str(back)
    assert "mode=sequential" in str(back)


def test_equal_configurations_differ_in_nothing() -> None:
    difference = explain_difference(Written(law), FAST, FAST, space=SPACE)
    assert difference.contributions == ()
    assert str(difference) == "equal (20.0 ms to 20.0 ms): the same in all options"


def test_the_words_fit_the_unit() -> None:
    power = Written(lambda frame: 5.0 + numbers(frame, "spinning"), Property("power_w", "W"))
    difference = explain_difference(power, FAST | {"spinning": True}, FAST, space=SPACE)
    assert str(difference) == "1.2x higher (5.00 W to 6.00 W): +1.00 W from spinning=on"


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 14), seed=st.integers(0, 100))
def test_contributions_sum_to_the_difference(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = booleans(*(f"o{i}" for i in range(n)))
    weights, mixed = rng.normal(size=n), rng.normal(size=(n, n))

    def rough(frame: pd.DataFrame) -> FloatArray:
        X = frame.to_numpy(float)
        return np.asarray(np.exp(0.2 * X @ weights + 0.1 * np.einsum("ni,ij,nj->n", X, mixed, X)))

    old, new = dict.fromkeys(space.names, False), dict.fromkeys(space.names, True)
    difference = explain_difference(Written(rough), new, old, space=space, seed=seed)
    change = difference.response - difference.baseline_response
    scale = max(difference.response, difference.baseline_response)
    assert sum(part.change for part in difference.contributions) == pytest.approx(change, abs=1e-9 * scale)
    assert sum(difference.options.values()) == pytest.approx(change, abs=1e-9 * scale)
    assert difference.is_exact == (n <= 12)


def test_symmetric_options_get_equal_contributions() -> None:
    space = booleans("a", "b", "c")
    model = Written(lambda f: np.exp(0.5 * (numbers(f, "a") + numbers(f, "b")) + numbers(f, "c")))
    shares = explain_difference(
        model, dict.fromkeys(space.names, True), dict.fromkeys(space.names, False), space=space
    ).options
    assert shares["a"] == pytest.approx(shares["b"])


def test_drawn_orders_report_their_error() -> None:
    names = [f"o{i}" for i in range(14)]
    space = booleans(*names)
    model = Written(lambda f: np.exp(0.3 * f.to_numpy(float).sum(axis=1)))
    difference = explain_difference(model, dict.fromkeys(names, True), dict.fromkeys(names, False), space=space)
    assert not difference.is_exact
    assert all(part.standard_error > 0 for part in difference.contributions)


def test_the_result_survives_json_and_is_escaped_in_html() -> None:
    space = booleans("<i>x</i>", "y")
    names = space.names
    difference = explain_difference(
        Written(lambda f: 1.0 + numbers(f, names[0])),
        dict.fromkeys(names, True),
        dict.fromkeys(names, False),
        space=space,
    )
    assert json.loads(json.dumps(difference.to_dict()))["contributions"][0]["change"] == pytest.approx(1.0)
    assert "<i>" not in difference._repr_html_()


def test_invalid_configurations_are_refused() -> None:
    with pytest.raises(InvalidConfigurationError):
        explain_difference(Written(law), SLOW | {"threads": 3}, FAST, space=SPACE)
