"""The decomposition itself, against definitions written out by brute force."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from perfport.advise.influences.anova import Anova, Decomposition
from perfport.data.measurement import FloatArray

IntArray = NDArray[np.int64]
Factors = tuple[int, ...]


def grid(*n_levels: int) -> IntArray:
    return np.array(list(product(*map(range, n_levels))))


def decompose(codes: IntArray, response: ArrayLike, *, is_sample: bool = False) -> Decomposition:
    return Anova(codes, is_sample=is_sample).decompose(np.asarray(response, dtype=np.float64)[:, None])


def classical_shares(codes: IntArray, y: FloatArray) -> dict[Factors, float]:
    """Sobol' indices of first and second order on a full factorial, by means over cells."""

    def mean_given(factors: Factors) -> FloatArray:
        _, cell = np.unique(codes[:, factors], axis=0, return_inverse=True)
        return np.asarray((np.bincount(cell, weights=y) / np.bincount(cell))[cell])

    first: dict[Factors, float] = {(i,): float(mean_given((i,)).var() / y.var()) for i in range(codes.shape[1])}
    second: dict[Factors, float] = {
        (i, j): float(mean_given((i, j)).var() / y.var()) - first[(i,)] - first[(j,)]
        for i, j in combinations(range(codes.shape[1]), 2)
    }
    return first | second


def nested_shares(codes: IntArray, y: FloatArray) -> dict[Factors, float]:
    """The definition for dependent options, by dense least squares on explicit bases."""
    n, d = codes.shape

    def indicator(factors: Factors) -> FloatArray:
        _, cell = np.unique(codes[:, factors], axis=0, return_inverse=True)
        Z = (cell[:, None] == np.arange(cell.max() + 1)).astype(float)
        return np.asarray(Z / np.sqrt(Z.sum(axis=0)))

    def without(Z: FloatArray, lower: FloatArray) -> FloatArray:
        U, s, _ = np.linalg.svd(lower, full_matrices=False)
        U = U[:, s > 1e-9]
        return np.asarray(Z - U @ (U.T @ Z))

    def fit(blocks: dict[Factors, FloatArray], rows: FloatArray) -> tuple[dict[Factors, float], FloatArray]:
        stacked = np.hstack(list(blocks.values()))
        b = np.linalg.pinv(stacked, rcond=1e-9) @ rows
        sizes, start = {}, 0
        for key, Z in blocks.items():
            sizes[key] = float(np.square(Z @ b[start : start + Z.shape[1]]).sum())
            start += Z.shape[1]
        return sizes, rows - stacked @ b

    centred = y - y.mean()
    total = float(centred @ centred)
    ones = np.ones((n, 1))
    main: dict[Factors, FloatArray] = {(i,): without(indicator((i,)), ones) for i in range(d)}
    pairs: dict[Factors, FloatArray] = {
        (i, j): without(indicator((i, j)), np.hstack([ones, indicator((i,)), indicator((j,))]))
        for i, j in combinations(range(d), 2)
    }
    shares: dict[Factors, float] = {}
    main_sizes, rest = fit(main, centred)
    pair_sizes, left = fit(main | pairs, rest)
    for sizes, explained in (
        (main_sizes, total - float(rest @ rest)),
        ({key: pair_sizes[key] for key in pairs}, float(rest @ rest) - float(left @ left)),
    ):
        whole = sum(sizes.values())
        shares |= {
            key: explained / total * size / whole if whole > 1e-12 * total else 0.0 for key, size in sizes.items()
        }
    return shares


def as_dict(found: Decomposition) -> dict[Factors, float]:
    main: dict[Factors, float] = {(i,): float(share) for i, share in enumerate(found.main[:, 0])}
    return main | {pair: float(share) for pair, share in zip(found.pairs, found.interactions[:, 0], strict=True)}


def test_full_factorials_get_the_classical_shares() -> None:
    codes = grid(3, 4, 2, 5)
    y = np.random.default_rng(1).normal(size=len(codes)) + codes[:, 0] + codes[:, 1] * codes[:, 3]
    found, wanted = as_dict(decompose(codes, y)), classical_shares(codes, y)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_constrained_tables_get_the_shares_of_their_definition() -> None:
    codes = grid(4, 4, 2, 3)
    codes = codes[codes[:, 0] + codes[:, 1] <= 4]
    y = np.sqrt(1.0 + codes[:, 0]) * (1 + codes[:, 2]) - 0.7 * codes[:, 1] + 0.1 * codes[:, 3] ** 2
    found, wanted = as_dict(decompose(codes, y)), nested_shares(codes, y)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_constraint_makes_no_interaction_in_an_additive_response() -> None:
    codes = grid(4, 4, 3)
    codes = codes[codes[:, 0] * codes[:, 1] <= 4]
    found = decompose(codes, 2.0 * codes[:, 0] - np.sqrt(codes[:, 1]))
    assert found.interactions.max() < 1e-9
    assert found.main[2, 0] < 1e-9, "an option tied to nothing has no influence"
    assert found.main.sum() == pytest.approx(1.0)


def test_an_irrelevant_option_has_share_zero_even_when_a_constraint_ties_it_to_an_influential_one() -> None:
    codes = grid(4, 4)
    codes = codes[codes[:, 0] >= codes[:, 1]]
    found = decompose(codes, codes[:, 0] ** 2.0)
    assert found.main[:, 0] == pytest.approx([1.0, 0.0], abs=1e-9)


def test_options_that_always_go_together_share_equally() -> None:
    codes = grid(2, 2, 3)
    codes = codes[codes[:, 0] == codes[:, 1]]
    found = decompose(codes, codes[:, 0] + 0.5 * codes[:, 2])
    assert found.main[0, 0] == pytest.approx(found.main[1, 0])


def test_what_activity_changes_belongs_to_the_option_that_activates() -> None:
    mode, threads = np.repeat([0, 1], [3, 3]), np.array([-1, -1, -1, 0, 1, 2])
    other = np.array([0, 1, 2, 0, 1, 2])
    codes = np.column_stack([mode, threads, other])
    codes = np.array([(m, t if m else -1, o) for m in (0, 1) for t in (0, 1, 2) for o in (0, 1, 2)])
    found = decompose(codes, 10.0 * codes[:, 0])
    assert found.main[:, 0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)


def test_a_three_way_interaction_is_the_remainder() -> None:
    codes = grid(2, 2, 2)
    found = decompose(codes, np.prod(2.0 * codes - 1.0, axis=1))
    assert found.remainder[0] == pytest.approx(1.0)
    assert found.main.max() == pytest.approx(0.0, abs=1e-12)


def test_a_constant_response_has_no_influences() -> None:
    found = decompose(grid(2, 3), np.full(6, 0.1 + 0.2))
    assert found.variance[0] == found.main.sum() == found.interactions.sum() == found.remainder[0] == 0.0


def test_chance_explains_nothing_of_a_sample_on_average() -> None:
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(20):
        codes = rng.integers(0, 3, (300, 5))
        shares.append(as_dict(decompose(codes, rng.normal(size=300), is_sample=True)))
    assert np.mean([sum(share.values()) for share in shares]) < 0.06
    assert np.mean([sum(as_dict(decompose(codes, rng.normal(size=300))).values())]) > 0.1


def test_a_sample_too_small_for_all_pairs_keeps_the_strongest() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, (200, 8))
    found = decompose(codes, 1.0 * (codes[:, 2] == codes[:, 5]), is_sample=True)
    assert len(found.pairs) < 28
    assert max(as_dict(found), key=as_dict(found).__getitem__) == (2, 5)


@settings(max_examples=40, deadline=None)
@given(
    n_levels=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    keep=st.floats(0.4, 1.0),
)
def test_shares_are_never_negative_and_add_up_to_one_at_most(n_levels: list[int], seed: int, keep: float) -> None:
    rng = np.random.default_rng(seed)
    codes = grid(*n_levels)
    codes = codes[np.sort(rng.permutation(len(codes))[: max(1, int(keep * len(codes)))])]
    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in codes.T])
    y = rng.normal(size=len(codes))
    for is_sample in (False, True):
        found = decompose(codes, y, is_sample=is_sample)
        shares = list(as_dict(found).values())
        assert min(shares) >= 0.0
        assert sum(shares) + found.remainder[0] <= 1.0 + 1e-9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), keep=st.floats(0.5, 1.0))
def test_additive_responses_have_no_interactions(seed: int, keep: float) -> None:
    rng = np.random.default_rng(seed)
    codes = grid(3, 2, 4)
    codes = codes[np.sort(rng.permutation(len(codes))[: int(keep * len(codes))])]
    y = sum(rng.normal(size=5)[column] for column in codes.T)
    # A level that no kept row has is no level of the table.
    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in codes.T])
    found = decompose(codes, np.asarray(y))
    assert found.interactions.max() < 1e-8
    assert found.remainder[0] < 1e-8


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_symmetric_options_get_equal_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = grid(3, 3, 2)
    codes = codes[codes[:, 0] + codes[:, 1] <= 3]
    effect = rng.normal(size=(3, 2))
    y = effect[codes[:, 0], codes[:, 2]] + effect[codes[:, 1], codes[:, 2]] + 0.3 * codes[:, 0] * codes[:, 1]
    found = as_dict(decompose(codes, y))
    assert found[0,] == pytest.approx(found[1,], abs=1e-7)
    assert found[0, 2] == pytest.approx(found[1, 2], abs=1e-7)


def test_many_responses_are_decomposed_as_if_one_by_one() -> None:
    codes = grid(3, 4, 2)
    codes = codes[codes.sum(axis=1) <= 4]
    Y = np.random.default_rng(4).normal(size=(len(codes), 3))
    together = Anova(codes).decompose(Y)
    for k in range(3):
        alone = decompose(codes, Y[:, k])
        assert together.main[:, k] == pytest.approx(alone.main[:, 0], abs=1e-6)
        assert together.interactions[:, k] == pytest.approx(alone.interactions[:, 0], abs=1e-6)
