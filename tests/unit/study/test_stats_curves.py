"""Learning curves: what is averaged, what is independent, and when a goal is reached."""

import numpy as np
import pandas as pd
import pytest

from perfport.errors import UsageError
from perfport.study.curves import budget_to_reach, learning_curves


def rows() -> pd.DataFrame:
    """Two strategies, three tasks, four seeds, three budgets; error = level / budget, seeds cancel out."""
    records = []
    for strategy, level in (("direct", 64.0), ("influence", 16.0)):
        for task, share in (("a", 0.5), ("b", 1.0), ("c", 2.0)):
            for seed in range(4):
                for budget in (2, 4, 8):
                    error = level * share / budget + (-1) ** seed * 0.1
                    records.append((strategy, task, seed, budget, error))
    return pd.DataFrame(records, columns=["strategy", "task", "seed", "n_target", "mape_pct"])


def curves(statistic: str = "mean") -> pd.DataFrame:
    return learning_curves(
        rows(),
        value="mape_pct",
        budget="n_target",
        curves=["strategy"],
        units=["task"],
        rng=np.random.default_rng(0),
        statistic=statistic,  # type: ignore[arg-type]  # parametrised by text
    )


def test_seeds_are_averaged_before_tasks() -> None:
    result = curves()
    point = result.set_index(["strategy", "n_target"]).to_dict("index")["direct", 4]
    assert (point["n_units"], point["n_rows"]) == (3, 12)
    assert point["estimate"] == pytest.approx(64 * 3.5 / 3 / 4)
    assert (point["lowest"], point["highest"]) == pytest.approx((8.0, 32.0))
    assert np.all(result["lower"] <= result["estimate"])
    assert np.all(result["estimate"] <= result["upper"])


@pytest.mark.parametrize(("statistic", "expected"), [("median", 16.0), ("gmean", 16.0)])
def test_other_summaries(statistic: str, expected: float) -> None:
    result = curves(statistic).set_index(["strategy", "n_target"]).to_dict("index")
    assert result["direct", 4]["estimate"] == pytest.approx(expected)


def test_budget_to_reach_interpolates_on_logarithmic_axes() -> None:
    reached = budget_to_reach(curves("median"), 3.0, budget="n_target", by=["strategy"])
    assert dict(zip(reached["strategy"], reached["n_target"], strict=True)) == pytest.approx(
        {"direct": np.nan, "influence": 16 / 3.0}, nan_ok=True
    )


def test_a_goal_met_from_the_start_needs_the_smallest_budget() -> None:
    reached = budget_to_reach(curves(), 100.0, budget="n_target", by=["strategy"])
    assert list(reached["n_target"]) == [2.0, 2.0]


def test_a_lucky_dip_does_not_count() -> None:
    curve = pd.DataFrame({"strategy": "x", "n_target": [2, 4, 8, 16], "estimate": [4.0, 1.0, 4.0, 1.0]})
    reached = budget_to_reach(curve, 2.0, budget="n_target", by=["strategy"])
    assert reached["n_target"].iloc[0] == pytest.approx(8 * np.sqrt(2))


def test_failed_cells_must_be_dropped_first() -> None:
    bad = rows()
    bad.loc[5, "mape_pct"] = np.nan
    with pytest.raises(UsageError, match="1 values of 'mape_pct' are not finite, the first in row 5"):
        learning_curves(
            bad,
            value="mape_pct",
            budget="n_target",
            curves=["strategy"],
            units=["task"],
            rng=np.random.default_rng(0),
        )


def test_unknown_columns_and_goals_are_refused() -> None:
    with pytest.raises(UsageError, match="no column"):
        learning_curves(
            rows(), value="nmse", budget="n_target", curves=["strategy"], units=["task"], rng=np.random.default_rng(0)
        )
    with pytest.raises(UsageError, match="goal is 0"):
        budget_to_reach(curves(), 0.0, budget="n_target", by=["strategy"])
