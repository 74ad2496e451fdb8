"""Scott-Knott ESD, Friedman and Nemenyi against published worked examples."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.errors import NotEnoughDataError, UsageError
from perfport.study.ranking import critical_difference, likelihood_ratio, nemenyi_critical_difference, scott_knott_esd

# Areas under the curve of four variants of C4.5 on 14 data sets. Demsar, JMLR 7, 2006, table 6. The last two
# scores on the voting data are printed equal there but ranked 2 and 3, so they differ in a further digit.
DEMSAR = pd.DataFrame(
    np.fromstring(
        """0.763 0.768 0.771 0.798  0.599 0.591 0.590 0.569  0.954 0.971 0.968 0.967  0.628 0.661 0.654 0.657
        0.882 0.888 0.886 0.898  0.936 0.931 0.916 0.931  0.661 0.668 0.609 0.685  0.583 0.583 0.563 0.625
        0.775 0.838 0.866 0.875  1 1 1 1  0.940 0.962 0.965 0.962  0.619 0.666 0.614 0.669
        0.972 0.981 0.9751 0.975  0.957 0.978 0.946 0.970""",
        sep=" ",
    ).reshape(14, 4),
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)

# Insects counted after spraying, 12 plots each. Beall, Biometrika 32, 1942; R data set InsectSprays.
SPRAYS = pd.DataFrame(
    {
        "A": [10, 7, 20, 14, 14, 12, 10, 23, 17, 20, 14, 13],
        "B": [11, 17, 21, 11, 16, 14, 17, 17, 19, 21, 7, 13],
        "C": [0, 1, 7, 2, 3, 1, 2, 1, 3, 0, 1, 4],
        "D": [3, 5, 12, 6, 4, 3, 5, 5, 5, 5, 2, 4],
        "E": [3, 5, 3, 5, 3, 6, 1, 1, 3, 2, 6, 4],
        "F": [11, 9, 15, 22, 15, 16, 13, 10, 26, 26, 24, 13],
    }
)


def test_average_ranks_and_friedman_agree_with_demsar() -> None:
    # Section 3.2.3: ranks 3.143, 2.000, 2.893, 1.964; chi square 9.28 (without tie correction) and F 3.69.
    result = critical_difference(DEMSAR, minimise=False)
    assert result.average_ranks.round(3).to_dict() == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    assert result.f_statistic == pytest.approx(3.69, abs=0.005)
    plain = 12 * 14 / 20 * (np.sum(result.average_ranks**2) - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    assert result.chi_square > plain
    assert result.f_p_value < 0.05


def test_critical_difference_agrees_with_demsar() -> None:
    # The same section: 1.25 at 0.05 and 1.12 at 0.10, where C4.5 differs from both +m and +m+cf.
    result = critical_difference(DEMSAR, minimise=False, alpha=0.10)
    assert result.critical_difference == pytest.approx(1.12, abs=0.005)
    assert nemenyi_critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert result.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


def test_critical_values_agree_with_demsar() -> None:
    # Table 5a, alpha 0.05, two to ten classifiers.
    values = [nemenyi_critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    assert values == pytest.approx([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], abs=1.1e-3)


def test_nemenyi_p_values_agree_with_scikit_posthocs() -> None:
    # posthoc_nemenyi_friedman of scikit-posthocs 0.17.1 on the table as printed, with the voting tie.
    printed = DEMSAR.round(3)
    p_values = critical_difference(printed, minimise=False).p_values
    assert p_values.loc["C4.5", "C4.5+m"] == pytest.approx(0.088673, abs=1e-6)
    assert p_values.loc["C4.5", "C4.5+m+cf"] == pytest.approx(0.061683, abs=1e-6)
    assert p_values.loc["C4.5+m", "C4.5+cf"] == pytest.approx(0.226697, abs=1e-6)
    assert p_values.loc["C4.5", "C4.5"] == 1.0


def test_two_methods_are_sent_to_the_paired_test() -> None:
    with pytest.raises(NotEnoughDataError, match="wilcoxon_signed_rank"):
        critical_difference(DEMSAR.iloc[:, :2])


def test_methods_that_never_differ_are_one_group() -> None:
    result = critical_difference(pd.DataFrame(np.ones((5, 3)), columns=list("abc")))
    assert (result.p_value, result.groups) == (1.0, (("a", "b", "c"),))


def test_methods_always_in_the_same_order_differ_beyond_doubt() -> None:
    scores = pd.DataFrame(np.arange(30.0)[:, None] + np.arange(4), columns=list("abcd"))
    result = critical_difference(scores)
    assert result.f_statistic == np.inf
    assert result.f_p_value == 0.0
    assert list(result.average_ranks) == [1.0, 2.0, 3.0, 4.0]


def test_likelihood_ratio_agrees_with_hand_computation() -> None:
    # Means 1, 2, 9, 10: B = (1.5 - 5.5)^2 * 2 + (9.5 - 5.5)^2 * 2 = 64, total sum of squares 65; with variance 0.5
    # on 12 degrees of freedom s^2 = (65 + 6) / 16 and lambda = 1.37597 * 64 / 4.4375.
    cut, ratio, p_value = likelihood_ratio(np.array([1.0, 2.0, 9.0, 10.0]), 0.5, 12)
    assert cut == 2
    assert ratio == pytest.approx(1.375969 * 64 / 4.4375, rel=1e-5)
    assert 0 < p_value < 0.001


def test_sprays_fall_into_two_groups() -> None:
    result = scott_knott_esd(SPRAYS)
    assert result["rank"].to_dict() == {"C": 1, "E": 1, "D": 1, "A": 2, "B": 2, "F": 2}
    assert result["mean"].round(3).to_dict()["D"] == 4.917


def test_larger_can_be_better() -> None:
    assert scott_knott_esd(SPRAYS, minimise=False)["rank"].to_dict()["F"] == 1


def test_negligible_effects_are_merged() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4000, 3))
    scores = pd.DataFrame(noise + np.array([0.0, 0.1, 1.0]), columns=list("abc"))
    assert scott_knott_esd(scores, negligible=0.0)["rank"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert scott_knott_esd(scores)["rank"].to_dict() == {"a": 1, "b": 1, "c": 2}


def test_blocking_sees_through_differences_between_tasks() -> None:
    rng = np.random.default_rng(1)
    tasks = rng.normal(0, 10, size=(30, 1))
    scores = pd.DataFrame(tasks + np.array([0.0, 1.0, 2.0]) + rng.normal(0, 0.3, (30, 3)), columns=list("abc"))
    assert set(scott_knott_esd(scores)["rank"]) == {1}
    assert scott_knott_esd(scores, is_blocked=True)["rank"].to_dict() == {"a": 1, "b": 2, "c": 3}


def test_false_splits_are_as_rare_as_alpha() -> None:
    splits = sum(
        scott_knott_esd(pd.DataFrame(np.random.default_rng(seed).normal(size=(20, 5))), negligible=0.0)["rank"].max()
        > 1
        for seed in range(400)
    )
    assert splits / 400 < 0.08


def test_equal_scores_are_one_group_and_exact_differences_are_not() -> None:
    assert set(scott_knott_esd(pd.DataFrame(np.ones((4, 3))))["rank"]) == {1}
    assert list(scott_knott_esd(pd.DataFrame(np.ones((9, 3)) * [1.0, 2.0, 2.0]))["rank"]) == [1, 2, 2]


def test_one_task_is_not_enough() -> None:
    with pytest.raises(NotEnoughDataError, match="at least two tasks"):
        scott_knott_esd(SPRAYS.iloc[:1])


def test_nonsense_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="1 methods"):
        nemenyi_critical_difference(1, 10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0.1, 10))
def test_groups_do_not_depend_on_column_order_or_units(seed: int, k: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    scores = pd.DataFrame(rng.normal(size=(12, k)) + 2 * rng.integers(0, 2, k), columns=[f"m{i}" for i in range(k)])
    expected = scott_knott_esd(scores)["rank"].to_dict()
    shuffled = factor * scores[rng.permutation(scores.columns)] + 3.0
    assert scott_knott_esd(shuffled)["rank"].to_dict() == expected
