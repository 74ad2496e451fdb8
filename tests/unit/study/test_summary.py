from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.study.samples import Broken, environments, spec

from perfport.study.results import COLUMNS
from perfport.study.run import StudyResult, run_study
from perfport.study.spec import StudySpec
from perfport.study.summary import StudySummary, summarise

METHODS = ("auto", "scaled", "target_only:tree")


def result(errors: dict[str, float], *, n_targets: int = 10, study: StudySpec | None = None) -> StudyResult:
    """Return a made-up result: each method has its error, times what is harder about the target, halved by 4x rows."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        dict.fromkeys(COLUMNS, "")
        | {
            "key": f"{target}{method}{budget}{seed}", "sources": "old", "target": f"t{target}", "property": "time_s",
            "sampler": "random", "method": method, "budget": budget, "seed": seed, "status": "ok", "n_measured": budget,
            "n_test": 100, "cost_s": 2.0 * budget, "elapsed_s": 0.5,
            "mape_pct": error * (1 + target) * (10 / budget) ** 0.5 * float(rng.lognormal(0, 0.02)),
        }
        for target in range(n_targets)
        for method, error in errors.items()
        for budget in (10, 40)
        for seed in (0, 1)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return StudyResult(study or spec(strategies=list(METHODS)), table, 0, len(table), 1.0)


def summary(**errors: float) -> StudySummary:
    return summarise(result(dict(zip(METHODS, errors.values(), strict=False))))


def test_the_best_method_comes_first_with_its_error_at_every_budget() -> None:
    found = summary(auto=1.0, scaled=4.0, tree=2.0)
    assert list(found.errors.index) == ["auto", "target_only:tree", "scaled"]
    assert found.best == "auto"
    # The geometric mean of 1 ... 10 is 4.53.
    assert found.errors.to_numpy(dtype=float)[0] == pytest.approx([4.53, 2.26], rel=0.02)
    assert found.budgets == (10, 40)
    assert (found.n_tasks, found.n_units, found.is_by_task) == (10, 10, True)


def test_methods_that_differ_are_in_groups_of_their_own_and_equal_ones_are_not() -> None:
    apart = summary(auto=1.0, scaled=4.0, tree=2.0)
    assert apart.ranking["rank"].to_dict() == {"auto": 1, "target_only:tree": 2, "scaled": 3}
    same = summary(auto=1.0, scaled=1.0, tree=2.0)
    assert same.ranking["rank"].to_dict() == {"auto": 1, "scaled": 1, "target_only:tree": 2}


def test_every_method_is_compared_with_the_baseline() -> None:
    found = summary(auto=1.0, scaled=4.0, tree=2.0)
    assert found.baseline == "target_only:tree"
    table = found.against.set_index("method")
    assert table["ratio"].to_dict() == pytest.approx({"auto": 0.5, "scaled": 2.0}, rel=0.02)
    assert table[["wins", "losses"]].to_numpy().tolist() == [[10, 0], [0, 10]]
    # The smallest two-sided p of ten pairs is 2 / 2^10, and there are two tests.
    assert table["p_holm"].to_numpy(dtype=float) == pytest.approx([2 * 2 / 1024] * 2)


def test_mean_ranks_and_curves_cover_every_method() -> None:
    found = summary(auto=1.0, scaled=4.0, tree=2.0)
    assert found.critical is not None
    assert found.critical.average_ranks.to_dict() == {"auto": 1.0, "target_only:tree": 2.0, "scaled": 3.0}
    assert found.curves.groupby("method", sort=False).size().to_dict() == {
        "auto": 2,
        "target_only:tree": 2,
        "scaled": 2,
    }
    assert (found.curves["lower"] <= found.curves["estimate"]).all()
    assert (found.curves["estimate"] <= found.curves["upper"]).all()


def test_cost_counts_rows_that_methods_share_once() -> None:
    found = summary(auto=1.0, scaled=4.0, tree=2.0)
    assert found.n_measurements == 10 * 2 * (10 + 40)
    assert found.cost_s == 2.0 * found.n_measurements
    assert found.compute_s == 0.5 * found.n_cells


def test_with_few_tasks_repetitions_are_the_units() -> None:
    found = summarise(result({"auto": 1.0, "scaled": 2.0}, n_targets=2))
    assert (found.n_tasks, found.n_units, found.is_by_task) == (2, 8, False)
    assert found.critical is None


def test_a_method_that_fails_where_others_do_not_is_left_out_and_named() -> None:
    whole = result(dict.fromkeys(METHODS, 1.0))
    rows = whole.rows.copy()
    lost = (rows["method"] == "scaled") & (rows["target"] == "t3")
    rows.loc[lost, "status"], rows.loc[lost, "reason"] = "failed", "NotEnoughDataError: few rows"
    found = summarise(StudyResult(whole.spec, rows, 0, 0, 0.0))
    assert found.left_out == {"scaled": 4}
    assert "scaled" not in found.errors.index
    assert found.n_tasks == 10
    assert [(failure.method, failure.n_cells) for failure in found.failures] == [("scaled", 4)]


def test_cells_that_all_methods_fail_cost_nobody_its_place() -> None:
    whole = result(dict.fromkeys(METHODS, 1.0))
    rows = whole.rows.copy()
    rows.loc[rows["budget"] == 40, "status"] = "failed"
    found = summarise(StudyResult(whole.spec, rows, 0, 0, 0.0))
    assert found.left_out == {}
    assert found.budgets == (10,)


def test_a_study_in_which_everything_failed_says_so(tmp_path: Path) -> None:
    ran = run_study(spec(budgets=[500]), tmp_path, data=environments, strategies={"broken": Broken()})
    found = summarise(ran)
    assert found.best is None
    assert len(found.failures) == 3
    assert (found.n_tasks, found.critical, found.cost_s) == (0, None, None)


def test_samplers_are_part_of_the_name_where_there_are_several(tmp_path: Path) -> None:
    found = summarise(run_study(spec(samplers=["random", "sobol"]), tmp_path, data=environments))
    assert set(found.errors.index) == {
        f"{m} @ {s}" for m in ("scaled", "target_only:tree") for s in ("random", "sobol")
    }
    assert found.baseline == "target_only:tree @ random"
