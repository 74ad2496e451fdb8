import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.advise.comparison.contrasts import ContrastBasis, Contrasts
from perfport.space.options import Level, Option
from perfport.space.space import Space


@settings(max_examples=40, deadline=None)
@given(
    n_levels=st.integers(2, 12),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["ordinal", "categorical"]),
)
def test_columns_are_orthonormal_over_the_rows(n_levels: int, seed: int, kind: str) -> None:
    levels: tuple[Level, ...] = tuple(range(n_levels)) if kind == "ordinal" else tuple("abcdefghijkl"[:n_levels])
    option = Option.model_validate({"name": "x", "type": kind, "values": levels})
    rng = np.random.default_rng(seed)
    cells = pd.Series(list(levels) + [levels[i] for i in rng.integers(0, n_levels, 50)])
    contrasts = Contrasts.of(option, cells)
    X = contrasts.values(cells)
    assert X.mean(axis=0) == pytest.approx(np.zeros(X.shape[1]), abs=1e-9)
    assert X.T @ X / len(X) == pytest.approx(np.eye(X.shape[1]), abs=1e-8)
    assert contrasts.weights.sum() == pytest.approx(1.0)
    complete = n_levels - 1 if n_levels <= 8 or kind == "categorical" else 4
    assert X.shape[1] == complete


def test_the_first_column_of_an_ordered_option_rises() -> None:
    option = Option(name="threads", type="ordinal", values=(1, 2, 4, 8))
    cells = pd.Series([1, 2, 4, 8])
    first = Contrasts.of(option, cells).values(cells)[:, 0]
    assert np.all(np.diff(first) > 0)


def test_inactive_and_unknown_levels_count_as_zero() -> None:
    threads = Contrasts.of(Option(name="threads", type="ordinal", values=(1, 2, 4)), pd.Series([1.0, 2.0, np.nan, 4.0]))
    assert threads.values(pd.Series([np.nan])) == pytest.approx(np.zeros((1, 2)))
    assert np.any(threads.values(pd.Series([2.0, 4.0])))
    assert threads.values(pd.Series([16.0])) == pytest.approx(threads.values(pd.Series([4])))
    mode = Contrasts.of(Option(name="mode", type="categorical", values=("a", "b", "c")), pd.Series(["a", "b"]))
    assert mode.values(pd.Series(["c"])) == pytest.approx(np.zeros((1, 1)))


def test_options_that_do_not_vary_have_no_columns() -> None:
    space = Space([Option(name="fixed", type="ordinal", values=(3,)), Option(name="free", type="boolean")])
    basis = ContrastBasis.of(space, pd.concat(space.enumerate(), ignore_index=True))
    assert list(basis.contrasts) == ["free"]


def test_columns_of_a_pair_are_products_and_weights_follow() -> None:
    space = Space([Option(name="a", type="boolean"), Option(name="b", type="ordinal", values=(1, 2, 3))])
    rows = pd.concat(space.enumerate(), ignore_index=True)
    basis = ContrastBasis.of(space, rows)
    a, b, both = basis.many([("a",), ("b",), ("a", "b")], rows)
    assert both == pytest.approx(a * b)
    assert basis.weights(("a", "b")) == pytest.approx([0.8, 0.2])


def test_pairs_of_long_options_keep_the_columns_expected_to_matter() -> None:
    levels = tuple("abcdefgh")
    space = Space([Option(name=name, type="categorical", values=levels) for name in ("x", "y")])
    basis = ContrastBasis.of(space, pd.concat(space.enumerate(), ignore_index=True))
    assert basis.columns(("x", "y"), pd.concat(space.enumerate(), ignore_index=True)).shape == (64, 16)


def test_numbers_that_never_occurred_lie_between_their_neighbours() -> None:
    option = Option(name="clock", type="float", lower=0.0, upper=1.0)
    contrasts = Contrasts.of(option, pd.Series(np.linspace(0, 1, 101)))
    at = contrasts.values(pd.Series([0.2, 0.205, 0.21]))
    assert np.all((at[1] > np.minimum(at[0], at[2])) & (at[1] < np.maximum(at[0], at[2])))
