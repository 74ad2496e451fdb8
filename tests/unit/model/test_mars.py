"""Multivariate adaptive splines against printed results of the R package earth, and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone

from perfport.errors import UsageError
from perfport.model.mars import MARS, BasisFunction, Hinge, best_subsets
from perfport.model.mars_growth import evaluate, gcv

Array = NDArray[np.float64]

# Black cherry trees: girth (in), height (ft), volume (cubic ft). Ryan et al., The Minitab Student Handbook, 1976.
TREES = np.fromstring(
    """
    8.3 70 10.3  8.6 65 10.3  8.8 63 10.2  10.5 72 16.4  10.7 81 18.8  10.8 83 19.7  11.0 66 15.6  11.0 75 18.2
    11.1 80 22.6  11.2 75 19.9  11.3 79 24.2  11.4 76 21.0  11.4 76 21.4  11.7 69 21.3  12.0 75 19.1  12.9 74 22.2
    12.9 85 33.8  13.3 86 27.4  13.7 71 25.7  13.8 64 24.9  14.0 78 34.5  14.2 80 31.7  14.5 74 36.3  16.0 72 38.3
    16.3 77 42.6  17.3 81 55.4  17.5 82 55.7  17.9 80 58.3  18.0 80 51.5  18.0 80 51.0  20.6 87 77.0
    """,
    sep=" ",
).reshape(31, 3)

# Road tests of 32 cars: mpg, then the ten columns named below. Henderson and Velleman, Biometrics 37, 1981.
MTCARS_COLUMNS = ["cyl", "disp", "hp", "drat", "wt", "qsec", "vs", "am", "gear", "carb"]
MTCARS = np.fromstring(
    """
    21 6 160 110 3.9 2.62 16.46 0 1 4 4  21 6 160 110 3.9 2.875 17.02 0 1 4 4
    22.8 4 108 93 3.85 2.32 18.61 1 1 4 1  21.4 6 258 110 3.08 3.215 19.44 1 0 3 1
    18.7 8 360 175 3.15 3.44 17.02 0 0 3 2  18.1 6 225 105 2.76 3.46 20.22 1 0 3 1
    14.3 8 360 245 3.21 3.57 15.84 0 0 3 4  24.4 4 146.7 62 3.69 3.19 20 1 0 4 2
    22.8 4 140.8 95 3.92 3.15 22.9 1 0 4 2  19.2 6 167.6 123 3.92 3.44 18.3 1 0 4 4
    17.8 6 167.6 123 3.92 3.44 18.9 1 0 4 4  16.4 8 275.8 180 3.07 4.07 17.4 0 0 3 3
    17.3 8 275.8 180 3.07 3.73 17.6 0 0 3 3  15.2 8 275.8 180 3.07 3.78 18 0 0 3 3
    10.4 8 472 205 2.93 5.25 17.98 0 0 3 4  10.4 8 460 215 3 5.424 17.82 0 0 3 4
    14.7 8 440 230 3.23 5.345 17.42 0 0 3 4  32.4 4 78.7 66 4.08 2.2 19.47 1 1 4 1
    30.4 4 75.7 52 4.93 1.615 18.52 1 1 4 2  33.9 4 71.1 65 4.22 1.835 19.9 1 1 4 1
    21.5 4 120.1 97 3.7 2.465 20.01 1 0 3 1  15.5 8 318 150 2.76 3.52 16.87 0 0 3 2
    15.2 8 304 150 3.15 3.435 17.3 0 0 3 2  13.3 8 350 245 3.73 3.84 15.41 0 0 3 4
    19.2 8 400 175 3.08 3.845 17.05 0 0 3 2  27.3 4 79 66 4.08 1.935 18.9 1 1 4 1
    26 4 120.3 91 4.43 2.14 16.7 0 1 5 2  30.4 4 95.1 113 3.77 1.513 16.9 1 1 5 2
    15.8 8 351 264 4.22 3.17 14.5 0 1 5 4  19.7 6 145 175 3.62 2.77 15.5 0 1 5 6
    15 8 301 335 3.54 3.57 14.6 0 1 5 8  21.4 4 121 109 4.11 2.78 18.6 1 1 4 2
    """,
    sep=" ",
).reshape(32, 11)


def texts(basis: tuple[BasisFunction, ...], names: list[str]) -> list[str]:
    return ["*".join(hinge.text(names) for hinge in function) for function in basis]


def r2(basis: tuple[BasisFunction, ...], X: Array, y: Array) -> float:
    B = evaluate(basis, X)
    residual = y - B @ np.linalg.lstsq(B, y)[0]
    return float(1 - residual @ residual / np.sum((y - y.mean()) ** 2))


def friedman1(n: int, rng: np.random.Generator, *, noise: float = 1.0) -> tuple[Array, Array]:
    """Equation 61 of Friedman 1991: five columns matter, two of them together, five do not."""
    X = rng.random((n, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    return X, y + noise * rng.standard_normal(n)


def test_trees_agree_with_earth() -> None:
    # earth 4.4 and 5.3, tests/test.earth.Rout.save and test.full.Rout.save: earth(Volume ~ ., data=trees).
    model = MARS().fit(TREES[:, :2], TREES[:, 2])
    coefficients = dict(zip(texts(model.basis_, ["Girth", "Height"]), model.coefficients_, strict=True))
    assert coefficients == pytest.approx(
        {
            "": 29.060,
            "max(0, 14.2 - Girth)": -3.41981,
            "max(0, Girth - 14.2)": 6.22951,
            "max(0, Height - 75)": 0.581364,
        },
        rel=1e-5,
    )
    assert len(model.forward_basis_) == 5
    assert model.gcv_ == pytest.approx(11.2543915, rel=1e-8)
    assert model.rss_ == pytest.approx(209.113855, rel=1e-8)
    assert model.gr2_ == pytest.approx(0.9596919, rel=1e-6)
    assert model.r2_ == pytest.approx(0.9742028, rel=1e-6)


def test_trees_without_height_agree_with_earth() -> None:
    # earth 5.3, tests/test.earth.Rout.save: the second column is not allowed in the model.
    model = MARS(endspan=8, minspan=4).fit(TREES[:, :1], TREES[:, 2])
    assert model.formula(["Girth"], digits=3) == "30.7 + 6.76*max(0, Girth - 14.2) - 3.57*max(0, 14.2 - Girth)"
    assert model.gcv_ == pytest.approx(14.3, abs=0.05)
    assert model.rss_ == pytest.approx(313, abs=0.5)


def test_the_formula_says_exactly_where_a_hinge_bends() -> None:
    clock = 1.3e9 + 1e3 * np.arange(60)
    model = MARS().fit(clock[:, None], 1.0 + np.maximum(0.0, clock - 1300031000.0))
    assert "max(0, clock - 1300031000)" in model.formula(["clock"])
    assert Hinge(0, -0.1, -1).text(["a"]) == "max(0, -0.1 - a)"


def test_interactions_of_trees_agree_with_earth() -> None:
    # The forward pass of earth that the package cmaRs prints for cmaRs(Volume ~ ., degree=2, nk=20, data=trees);
    # there the straight line in Girth is written from its smallest value, 8.3.
    model = MARS(degree=2, max_terms=20).fit(TREES[:, :2], TREES[:, 2])
    assert texts(model.forward_basis_, ["Girth", "Height"]) == [
        "",
        "max(0, Girth - 14.2)",
        "max(0, 14.2 - Girth)",
        "max(0, Height - 75)",
        "max(0, 75 - Height)",
        "max(0, Height - 75)*Girth",
        "max(0, Height - 78)",
    ]


def test_forward_pass_of_mtcars_agrees_with_earth() -> None:
    # earth 4.4, test.full.Rout.save: the trace of earth(mpg ~ ., data=mtcars, pmethod="none").
    X, y = MTCARS[:, 1:], MTCARS[:, 0]
    basis = MARS(prune=False).fit(X, y).forward_basis_
    printed = {3: 0.8602, 5: 0.8797, 7: 0.9099, 9: 0.9260, 11: 0.9374, 12: 0.9458, 13: 0.9494}
    for n_terms, expected in printed.items():
        assert r2(basis[:n_terms], X, y) == pytest.approx(expected, abs=5e-5)
    assert texts(basis[:13:2], MTCARS_COLUMNS) == [
        "",
        "max(0, 145 - disp)",
        "max(0, 123 - hp)",
        "max(0, 18.52 - qsec)",
        "max(0, 3.15 - drat)",
        "max(0, 4 - gear)",
        "max(0, qsec - 17.02)",
    ]


def test_backward_pass_of_mtcars_agrees_with_earth() -> None:
    # The same trace: residual sum of squares and GCV of the best subset of each size.
    X, y = MTCARS[:, 1:], MTCARS[:, 0]
    basis = (*MARS(prune=False).fit(X, y).forward_basis_[:13], (Hinge(MTCARS_COLUMNS.index("vs"), 0.0, 0),))
    subsets, rss = best_subsets(evaluate(basis, X), y)
    printed_rss = [1126.0, 324.6, 157.5, 147.3, 135.4, 123.9, 87.4, 72.8, 63.8, 59.5, 54.8, 51.9, 47.4, 46.6]
    printed_gcv = [37.50, 12.35, 6.91, 7.54, 8.19, 8.99, 7.75, 8.06, 9.08, 11.26, 14.50, 20.50, 30.97, 59.59]
    assert rss == pytest.approx(printed_rss, abs=0.06)
    assert gcv(rss, len(y), np.arange(1, 15), 2.0) == pytest.approx(printed_gcv, abs=0.01)
    assert list(subsets[6] + 1) == [1, 3, 4, 5, 6, 13, 14]


@pytest.mark.parametrize("degree", [1, 2])
def test_every_step_is_the_best_by_brute_force(degree: int) -> None:
    rng = np.random.default_rng(degree)
    X = rng.random((40, 3))
    y = 3 * X[:, 0] * X[:, 1] + np.abs(X[:, 2] - 0.4) + 0.05 * rng.standard_normal(40)
    model = MARS(degree=degree, minspan=1, endspan=0, prune=False, max_terms=9).fit(X, y)
    basis = model.forward_basis_
    assert len(basis) > 5
    position = 1
    while position < len(basis):
        before = basis[:position]
        parent = basis[position][:-1]
        n_new = (
            2 if len(basis) > position + 1 and basis[position + 1][:-1] == parent and mirrored(basis, position) else 1
        )
        best = max(r2((*before, *new), X, y) for new in candidates(before, X, degree))
        assert r2(basis[: position + n_new], X, y) == pytest.approx(best, abs=1e-9)
        position += n_new


def mirrored(basis: tuple[BasisFunction, ...], position: int) -> bool:
    one, other = basis[position][-1], basis[position + 1][-1]
    return one.column == other.column and one.knot == other.knot and one.sign == -other.sign


def candidates(before: tuple[BasisFunction, ...], X: Array, degree: int) -> list[tuple[BasisFunction, ...]]:
    """All pairs, and straight lines, that are not nearly collinear with what is there."""
    found: list[tuple[BasisFunction, ...]] = []
    for parent in before:
        for column in range(X.shape[1]):
            if len(parent) >= degree or column in [hinge.column for hinge in parent]:
                continue
            line: BasisFunction = (*parent, Hinge(column, 0.0, 0))
            has_line = is_new(before, line, X)
            base = (*before, line) if has_line else before
            found.extend([(line,)] if has_line else [])
            for knot in X[:, column]:
                right: BasisFunction = (*parent, Hinge(column, float(knot), 1))
                if is_new(base, right, X):
                    found.append((line, right) if has_line else (right,))
    return found


def is_new(before: tuple[BasisFunction, ...], function: BasisFunction, X: Array) -> bool:
    c = evaluate((function,), X)[:, 0]
    spread = np.sum((c - c.mean()) ** 2)
    return bool(spread > 1e-10) and 1 - r2(before, X, c) > 0.01


def test_planted_hinges_are_found_exactly() -> None:
    rng = np.random.default_rng(0)
    X = np.round(rng.random((200, 4)) * 20) / 20
    y = 3 + 2 * np.maximum(0, X[:, 1] - 0.5) - 4 * np.maximum(0, 0.5 - X[:, 1])
    model = MARS(minspan=1, endspan=5).fit(X, y)
    assert model.formula(["a", "b", "c", "d"]) == "3 + 2*max(0, b - 0.5) - 4*max(0, 0.5 - b)"
    assert model.r2_ == pytest.approx(1.0)


def test_interaction_is_found_only_with_degree_two() -> None:
    rng = np.random.default_rng(1)
    X, y = friedman1(500, rng)
    X_new, y_new = friedman1(2000, rng, noise=0.0)
    errors = [np.mean((MARS(degree=degree).fit(X, y).predict(X_new) - y_new) ** 2) / y_new.var() for degree in (1, 2)]
    assert errors[0] > 0.06
    assert errors[1] < 0.03
    used = [{hinge.column for hinge in function} for function in MARS(degree=2).fit(X, y).basis_]
    assert {0, 1} in used


def test_pure_noise_is_not_believed() -> None:
    rng = np.random.default_rng(2)
    model = MARS().fit(rng.random((200, 10)), rng.standard_normal(200))
    assert model.gr2_ < 0.1


def test_frame_columns_name_the_terms() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(TREES, columns=["Girth", "Height", "Volume"])
    model = MARS().fit(frame[["Girth", "Height"]], frame["Volume"])
    assert "max(0, Girth - 14.2)" in model.formula()


def test_knots_below_zero_are_readable() -> None:
    names = ["t"]
    assert Hinge(0, -2.5, 1).text(names) == "max(0, t + 2.5)"
    assert Hinge(0, -2.5, -1).text(names) == "max(0, -2.5 - t)"


def test_constructor_does_no_work_and_can_be_cloned() -> None:
    model = MARS(degree=3, max_terms=11, penalty=4.0, threshold=0.01, minspan=2, endspan=3, prune=False)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(model, "basis_")


def test_fit_forgets_what_was_learnt_before() -> None:
    X, y = friedman1(100, np.random.default_rng(3))
    model = MARS().fit(X[:, :3], -y)
    again = model.fit(X, y)
    assert np.array_equal(again.predict(X), MARS().fit(X, y).predict(X))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_rows_give_finite_predictions(n: int) -> None:
    X, y = friedman1(n, np.random.default_rng(4))
    model = MARS(degree=2).fit(X, y)
    assert np.all(np.isfinite(model.predict(np.vstack([X, 1e6 * X, -1e6 * X]))))


def test_constant_response_and_constant_columns_are_no_trouble() -> None:
    X = np.ones((30, 3))
    assert np.allclose(MARS().fit(X, np.linspace(0, 1, 30)).predict(X), 0.5)
    model = MARS().fit(np.random.default_rng(5).random((30, 3)), np.full(30, 0.1))
    assert model.formula() == "0.1"
    assert (model.r2_, model.gr2_) == (0.0, 0.0)


def test_narrow_ranges_far_from_zero_lose_no_digits() -> None:
    x = np.linspace(0.0, 1.0, 101)
    y = np.abs(x - 0.5)
    near = MARS().fit(x[:, None], y).predict(x[:, None])
    far = 1.2e9 + 100 * x[:, None]
    assert MARS().fit(far, y).predict(far) == pytest.approx(near, abs=1e-4)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="degree is 0: it must be 1 or more"):
        MARS(degree=0).fit(TREES[:, :2], TREES[:, 2])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-6, 1e6), degree=st.integers(1, 2))
def test_scaling_the_response_scales_the_predictions(seed: int, factor: float, degree: int) -> None:
    X, y = friedman1(60, np.random.default_rng(seed))
    expected = MARS(degree=degree).fit(X, y).predict(X)
    assert MARS(degree=degree).fit(X, factor * y).predict(X) / factor == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_the_rows_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = friedman1(60, rng)
    shuffled = rng.permutation(60)
    expected = MARS(degree=2).fit(X, y).predict(X)
    assert MARS(degree=2).fit(X[shuffled], y[shuffled]).predict(X) == pytest.approx(expected, rel=1e-6, abs=1e-6)
