"""Classic designs: their matrices by the book, and where they fall in a space."""

import numpy as np
import pytest

from perfport.errors import UsageError
from perfport.sampling.designs import (
    BoxBehnken,
    CentralComposite,
    FractionalFactorial,
    FullFactorial,
    LatinHypercube,
    OptionWise,
    PlackettBurman,
    Sobol,
)
from perfport.sampling.matrices import full_two_level, generators, plackett_burman, regular_fraction
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.testing.kits_sampling import SAMPLED_SPACES


def resolution(k: int, p: int) -> int:
    """Length of the shortest product of factors that is constant over the runs."""
    words = np.zeros(1, dtype=np.int64)
    for place, word in enumerate(generators(k, p)):
        words = np.concatenate([words, words ^ (word | 1 << (p + place))])
    return int(np.bitwise_count(words[1:]).min())


def cube(d: int, n_levels: int = 9) -> Space:
    return Space([Option(name=f"x{i}", type="integer", lower=0, upper=n_levels - 1) for i in range(d)])


@pytest.mark.parametrize("d", [1, 2, 3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 47, 55])
def test_plackett_burman_is_orthogonal_and_balanced(d: int) -> None:
    design = plackett_burman(d)
    assert len(design) == 4 * (d // 4 + 1)
    assert set(np.unique(design)) == {-1.0, 1.0}
    assert np.array_equal(design.T @ design, len(design) * np.eye(d))
    assert np.all(design.sum(axis=0) == 0)


def test_plackett_burman_sizes_that_are_missing() -> None:
    runs = {len(plackett_burman(d)) for d in range(1, 104)}
    assert set(range(4, 105, 4)) - runs == {52, 92, 100}


def test_plackett_burman_of_twelve_runs_is_the_published_one() -> None:
    # Plackett and Burman 1946: cyclic shifts of + + - + + + - - - + -, and a row of minus. All such designs are
    # equal up to order and sign; that of 12 runs is known by its triples: every three columns hold each of
    # the eight combinations once or twice.
    design = plackett_burman(11)
    for triple in ([0, 1, 2], [3, 7, 10], [2, 5, 9]):
        counts = np.unique(design[:, triple], axis=0, return_counts=True)[1]
        assert sorted(counts) == [1, 1, 1, 1, 2, 2, 2, 2]


# Box, Hunter and Hunter, Statistics for Experimenters, table 12.15: resolution of 2^(k-p) designs.
@pytest.mark.parametrize(
    ("k", "p", "expected"),
    [
        (3, 2, 3), (4, 3, 4), (5, 4, 5), (5, 3, 3), (6, 5, 6), (6, 4, 4), (6, 3, 3), (7, 6, 7), (7, 5, 4), (7, 4, 4),
        (7, 3, 3), (8, 6, 5), (8, 5, 4), (8, 4, 4), (9, 7, 6), (9, 6, 4), (9, 5, 4), (9, 4, 3), (10, 7, 5), (10, 6, 4),
        (10, 5, 4), (11, 7, 5), (11, 6, 4), (11, 5, 4), (15, 4, 3), (16, 5, 4),
    ],
)  # fmt: skip
def test_resolution_is_that_of_the_tables(k: int, p: int, expected: int) -> None:
    assert resolution(k, p) == expected
    design = regular_fraction(k, p)
    assert design.shape == (2**p, k)
    assert np.array_equal(design.T @ design, 2**p * np.eye(k))


def test_large_fractions_keep_main_effects_apart() -> None:
    design = regular_fraction(32, 6)
    products = np.einsum("ri,rj->rij", design, design)[:, *np.triu_indices(32, 1)]
    assert not np.any(products.T @ design)  # resolution IV: no main effect is a product of two others
    assert np.array_equal(regular_fraction(60, 6).T @ regular_fraction(60, 6), 64 * np.eye(60))
    with pytest.raises(ValueError, match="do not fit"):
        regular_fraction(8, 3)


def test_full_two_level_has_every_corner_once() -> None:
    assert len(np.unique(full_two_level(5), axis=0)) == 32


def test_latin_hypercube_meets_every_level_equally_often() -> None:
    space = cube(4, n_levels=9)
    proposed = LatinHypercube().propose(space, 18, rng=np.random.default_rng(0))
    for name in space.names:
        assert proposed[name].value_counts().tolist() == [2] * 9


def test_sobol_meets_every_quarter_of_every_pair_equally_often() -> None:
    space = cube(5, n_levels=64)
    proposed = Sobol().propose(space, 16, rng=np.random.default_rng(0))
    for one in range(5):
        for other in range(one):
            cell = (proposed[f"x{one}"] // 16) * 4 + proposed[f"x{other}"] // 16
            assert cell.value_counts().max() <= 4  # random points reach 6 and more
            assert (proposed[f"x{one}"] // 32 * 2 + proposed[f"x{other}"] // 32).value_counts().tolist() == [4] * 4


def test_space_filling_designs_continue_where_levels_coincide() -> None:
    space = Space([Option(name=f"b{i}", type="boolean") for i in range(6)])
    hypercube = LatinHypercube().draw(space, 40, rng=np.random.default_rng(0))
    assert hypercube.n_points == 40 + hypercube.n_dropped > 40
    sequence = Sobol().draw(space, 63, rng=np.random.default_rng(0))
    assert sequence.n_points == 63 + sequence.n_dropped
    assert hypercube.n_filled == sequence.n_filled == 0


def test_full_factorial_grows_by_levels_while_they_fit() -> None:
    proposal = FullFactorial().draw(cube(3), 30, rng=np.random.default_rng(0))
    levels = sorted(proposal.configurations.iloc[: proposal.n_points][name].nunique() for name in ("x0", "x1", "x2"))
    assert levels == [3, 3, 3]
    assert (proposal.n_points, proposal.n_filled) == (27, 3)


def test_full_factorial_with_given_levels_is_spread_over_the_range() -> None:
    proposed = FullFactorial(levels=3).propose(cube(2), 9, rng=np.random.default_rng(0))
    assert sorted(proposed["x0"].unique()) == [0, 4, 8]
    assert len(proposed) == 9
    with pytest.raises(UsageError, match="levels is 1"):
        FullFactorial(levels=1).propose(cube(2), 9, rng=np.random.default_rng(0))


def test_fractional_factorial_is_orthogonal_in_the_space() -> None:
    proposal = FractionalFactorial().draw(cube(6), 17, rng=np.random.default_rng(0))
    design = proposal.configurations.iloc[:16].to_numpy() / 4.0 - 1.0
    assert np.array_equal(design.T @ design, 16 * np.eye(6))
    assert (proposal.n_points, proposal.n_filled) == (16, 1)


def test_screening_uses_only_options_that_vary() -> None:
    space = Space([Option(name="fixed", type="ordinal", values=(1,)), *cube(7).options])
    proposal = PlackettBurman().draw(space, 9, rng=np.random.default_rng(0))
    design = proposal.configurations.iloc[:8, 1:].to_numpy() / 4.0 - 1.0
    assert np.array_equal(design.T @ design, 8 * np.eye(7))


@pytest.mark.parametrize(("d", "runs"), [(3, 13), (4, 25), (5, 41)])
def test_box_behnken_has_the_published_runs(d: int, runs: int) -> None:
    # Box and Behnken 1960, table 4: 12, 24 and 40 runs beside the centre.
    proposal = BoxBehnken().draw(cube(d), runs + 1, rng=np.random.default_rng(0))
    design = proposal.configurations.iloc[:runs].to_numpy() / 4.0 - 1.0
    assert proposal.n_points == runs
    assert sorted(np.abs(design).sum(axis=1).tolist()) == [0.0] + [2.0] * (runs - 1)
    assert np.all(design.sum(axis=0) == 0)


def test_box_behnken_of_two_options_is_the_grid_of_three_levels() -> None:
    proposed = BoxBehnken().propose(cube(2), 9, rng=np.random.default_rng(0))
    assert {tuple(row) for row in proposed.to_numpy().tolist()} == {(a, b) for a in (0, 4, 8) for b in (0, 4, 8)}


def test_central_composite_has_centre_faces_and_corners() -> None:
    proposal = CentralComposite().draw(cube(3), 15, rng=np.random.default_rng(0))
    design = proposal.configurations.to_numpy() / 4.0 - 1.0
    assert np.bincount(np.abs(design).sum(axis=1).astype(int)).tolist() == [1, 6, 0, 8]
    assert design[0].tolist() == [0.0, 0.0, 0.0]
    few = CentralComposite().draw(cube(6), 30, rng=np.random.default_rng(0))
    corners = np.abs(few.configurations.to_numpy() / 4.0 - 1.0).sum(axis=1) == 6
    assert corners.sum() == 16  # 2^(6-2) is what 30 - 13 allows


def test_unordered_levels_are_not_always_the_first_and_the_last() -> None:
    space = Space([*cube(2).options, Option(name="mode", type="categorical", values=tuple("abcdef"))])
    seen = {
        level
        for seed in range(20)
        for level in PlackettBurman().propose(space, 4, rng=np.random.default_rng(seed))["mode"]
    }
    assert seen == set("abcdef")


def test_option_wise_changes_one_option_at_a_time() -> None:
    space = Space(
        [
            Option(name="threads", type="ordinal", values=(1, 2, 4), default=1),
            Option(name="mode", type="categorical", values=("a", "b")),
            Option(name="fast", type="boolean", default=True),
        ]
    )
    proposal = OptionWise().draw(space, 6, rng=np.random.default_rng(0))
    rows = proposal.configurations.to_dict("records")
    default = {"threads": 1, "mode": "a", "fast": True}
    assert rows[0] == default
    changes = [[name for name in default if row[name] != default[name]] for row in rows[1 : proposal.n_points]]
    assert sorted(changes[:3]) == [["fast"], ["mode"], ["threads"]]
    assert changes[3:] == [["threads"]]
    assert next(row for row in rows[1:4] if row["threads"] != 1)["threads"] == 4  # the farthest first
    assert proposal.n_filled == 1


def test_option_wise_reaches_levels_that_need_another_option() -> None:
    space = SAMPLED_SPACES["ruled"]
    proposal = OptionWise().draw(space, 14, rng=np.random.default_rng(0))
    proposed = proposal.configurations.iloc[: proposal.n_points]
    assert {1.0, 2.0, 3.0, 4.0} <= set(proposed["inter_threads"].dropna())
    assert proposed["streams"].max() == 4  # needs four cores, the default has one
    assert proposal.n_repaired > 0
    assert space.is_valid(proposed).all()
