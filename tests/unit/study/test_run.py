from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.study.samples import Broken, Deadly, NotANumber, Peeking, environments, spec
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import LeakError, PerfError, StoreError, UsageError
from perfport.executors import Outcome, ProcessExecutor, SerialExecutor
from perfport.space.space import Space
from perfport.study.cells import choose_rows
from perfport.study.guard import GuardedTarget
from perfport.study.results import COLUMNS, Results
from perfport.study.run import StudyProgress, StudyResult, run_study, study_data
from perfport.study.spec import SamplerSpec, StudySpec

NOT_REPEATABLE = ["elapsed_s"]


def ran(folder: Path, study: StudySpec | None = None, **arguments: Any) -> StudyResult:
    return run_study(study or spec(), folder, data=environments, **arguments)


def repeatable(result: StudyResult) -> pd.DataFrame:
    return result.rows.drop(columns=NOT_REPEATABLE)


class StopsAfter:
    """An executor that dies after some tasks, as a machine does."""

    def __init__(self, n_tasks: int) -> None:
        self.n_tasks = n_tasks

    def run(self, fn: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[tuple[int, Outcome[Any]]]:
        """Yield the first outcomes, then raise."""
        yield from islice(SerialExecutor().run(fn, tasks), self.n_tasks)
        raise ConnectionError("the power went off")


def test_every_cell_has_a_row_with_its_errors_and_its_cost(tmp_path: Path) -> None:
    rows = ran(tmp_path).rows
    assert list(rows.columns) == list(COLUMNS)
    assert len(rows) == 1 * 2 * 2 * 2
    assert (rows["status"] == "ok").all()
    assert rows["n_measured"].tolist() == rows["budget"].tolist()
    assert (rows["n_test"] == 144 - rows["budget"]).all()
    assert np.isfinite(rows[["mape_pct", "median_ape_pct", "nmse", "spearman", "regret_pct"]]).all(axis=None)
    assert rows["cost_s"].isna().all()
    assert set(rows["learner"]) == {"", "tree"}


def test_seconds_of_measuring_are_counted_where_they_are_known(tmp_path: Path) -> None:
    def timed(system: str, name: str) -> Any:
        dataset = environments(system, name)
        return replace(dataset, cost_s=np.full(len(dataset), 2.5))

    rows = run_study(spec(), tmp_path, data=timed).rows
    assert rows["cost_s"].tolist() == (2.5 * rows["budget"]).tolist()


def test_methods_are_compared_on_the_same_rows(tmp_path: Path) -> None:
    # Direct reuse does not depend on the rows it is given, so its error tells which rows are the test.
    study = spec(strategies=["direct", {"strategy": "direct", "settings": {"learner": "tree"}}], budgets=[20])
    rows = ran(tmp_path, study).rows.pivot_table(index="seed", columns="method", values="mape_pct")
    of_seed = rows.to_numpy(dtype=float)
    assert of_seed[:, 0].tolist() == of_seed[:, 1].tolist()
    assert of_seed[0, 0] != of_seed[1, 0]


def test_random_rows_do_not_depend_on_the_source() -> None:
    target = GuardedTarget.of(environments("", "new"), "time_s")
    chosen = [
        choose_rows(SamplerSpec(sampler="random"), [environments("", name)], target, budget=6, seed=0).tolist()
        for name in ("old", "mid")
    ]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 6


def test_a_finished_study_computes_nothing_again(tmp_path: Path) -> None:
    first, again = ran(tmp_path), ran(tmp_path)
    assert (first.n_before, first.n_computed) == (0, 8)
    assert (again.n_before, again.n_computed) == (8, 0)
    assert again.rows.equals(first.rows)


def test_a_larger_study_computes_only_what_is_new(tmp_path: Path) -> None:
    ran(tmp_path)
    larger = ran(tmp_path, spec(budgets=[4, 12, 20]))
    assert (larger.n_before, larger.n_computed) == (8, 4)
    assert larger.rows["budget"].tolist() == sorted(larger.rows["budget"].tolist())
    smaller = ran(tmp_path, spec(budgets=[20]))
    assert (smaller.n_computed, len(smaller.rows)) == (0, 4)


def test_other_data_are_other_cells(tmp_path: Path) -> None:
    ran(tmp_path)
    moved = run_study(spec(), tmp_path, data=lambda system, name: environments(system, {"old": "mid"}.get(name, name)))
    assert moved.n_computed == 8


def test_another_card_of_the_same_rows_makes_other_cells(tmp_path: Path) -> None:
    ran(tmp_path)

    def maximised(system: str, name: str) -> Dataset:
        found = environments(system, name)
        return replace(found, properties={key: replace(p, direction="maximise") for key, p in found.properties.items()})

    def grouped(system: str, name: str) -> Dataset:
        found = environments(system, name)
        return replace(found, space=Space([o.model_copy(update={"group": "all"}) for o in found.space.options]))

    for data in (maximised, grouped):
        assert run_study(spec(), tmp_path, data=data).n_computed == 8


def test_a_study_that_was_stopped_goes_on_where_it_stopped(tmp_path: Path) -> None:
    study = spec(environments=["old", "mid", "new"], pairs=[])
    with pytest.raises(ConnectionError):
        ran(tmp_path / "stopped", study, executor=StopsAfter(2))
    seen: list[StudyProgress] = []
    resumed = ran(tmp_path / "stopped", study, progress=seen.append)
    assert (resumed.n_before, resumed.n_computed) == (16, 32)
    assert [(at.n_done, at.n_total) for at in seen] == [(n, 48) for n in (16, 24, 32, 40, 48)]
    assert repeatable(resumed).equals(repeatable(ran(tmp_path / "whole", study)))


@pytest.mark.slow
def test_one_and_two_workers_give_identical_rows(tmp_path: Path) -> None:
    study = spec(
        environments=["old", "mid", "new"],
        pairs=[],
        samplers=["random", "guided", "propose"],
        strategies=["auto", "residual:forest", "tradaboost", "target_only:neural_network"],
        budgets=[6],
    )
    alone = ran(tmp_path / "one", study)
    together = ran(tmp_path / "two", study, executor=ProcessExecutor(2))
    assert len(alone.rows) == 6 * 3 * 4 * 2
    pd.testing.assert_frame_equal(repeatable(together), repeatable(alone), check_exact=True)


def test_a_strategy_that_raises_is_a_row_with_its_reason(tmp_path: Path) -> None:
    rows = ran(tmp_path, strategies={"broken": Broken(), "nan": NotANumber()}).rows
    broken, strange, fine = (rows[rows["method"] == name] for name in ("broken", "nan", "scaled"))
    assert set(broken["status"]) == {"failed"}
    assert set(broken["reason"]) == {"RuntimeError: no model today"}
    assert broken["mape_pct"].isna().all()
    assert strange["reason"].str.contains("must answer finite numbers").all()
    assert set(fine["status"]) == {"ok"}


def test_a_budget_beyond_the_target_is_a_row_with_its_reason(tmp_path: Path) -> None:
    rows = ran(tmp_path, spec(budgets=[144, 500], samplers=["random", "propose"])).rows
    assert set(rows["status"]) == {"failed"}
    assert rows["reason"].str.contains("leave no configuration to test on").all()


def test_a_sampler_without_its_source_is_a_row_with_its_reason(tmp_path: Path) -> None:
    study = spec(pairs=[{"sources": [], "target": "new"}], samplers=["guided"], strategies=["target_only:tree"])
    assert ran(tmp_path, study).rows["reason"].str.contains("learns from a source").all()


def test_several_sources_are_one_task(tmp_path: Path) -> None:
    study = spec(pairs=[{"sources": ["old", "mid"], "target": "new"}], strategies=["bellwether", "auto"])
    rows = ran(tmp_path, study).rows
    assert set(rows["sources"]) == {"old+mid"}
    assert (rows["status"] == "ok").all()


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line_and_costs_no_rows(tmp_path: Path) -> None:
    with pytest.raises(PerfError, match=r"a worker process died at target 'new'.*the same command goes on"):
        ran(tmp_path, executor=ProcessExecutor(1), strategies={"deadly": Deadly()})
    assert ran(tmp_path).n_computed <= 8


@pytest.mark.slow
def test_a_leak_ends_the_study_without_computing_the_rest(tmp_path: Path) -> None:
    study = spec(environments=["old", "mid", "new"], pairs=[], budgets=range(2, 100), seeds=50)
    thief = Peeking(GuardedTarget.of(environments("", "new"), "time_s"))
    with pytest.raises(LeakError, match="'thief'"):
        ran(tmp_path, study, executor=ProcessExecutor(1), strategies={"thief": thief})
    assert len(Results(tmp_path / "cells").read()) < 1000


def test_sources_with_other_options_are_checked_and_used(tmp_path: Path) -> None:
    frame = FRAME.drop(columns="cache").assign(mode=range(len(FRAME)))
    strange = {"old": dataset(noisy(log_time(FRAME), 0), "old", frame), "new": environments("", "new")}
    rows = run_study(spec(), tmp_path, data=lambda _, name: strange[name]).rows
    assert (rows["status"] == "ok").all()


def test_an_option_of_another_name_is_the_same_where_the_study_says_so(tmp_path: Path) -> None:
    frame = FRAME.rename(columns={"clock_hz": "frequency_hz"})
    runtimes = {"old": dataset(noisy(log_time(FRAME), 0), "old", frame)} | {
        name: environments("", name) for name in ("mid", "new")
    }
    pairs = [{"sources": "old", "target": "new"}, {"sources": "mid", "target": "new"}]
    asked = spec(
        pairs=pairs,
        strategies=["scaled"],
        samplers=["random", "guided", "propose"],
        rename={"frequency_hz": "clock_hz"},
    )
    found = run_study(asked, tmp_path / "renamed", data=lambda _, name: runtimes[name]).rows
    assert (found["status"] == "ok").all()
    apart = run_study(
        asked.model_copy(update={"rename": {}}), tmp_path / "apart", data=lambda _, name: runtimes[name]
    ).rows
    error = {name: rows.groupby("sources")["mape_pct"].mean() for name, rows in (("same", found), ("apart", apart))}
    assert error["same"]["old"] < 0.7 * error["apart"]["old"]
    # A pair that has no such option is the cell it was.
    assert set(found[found["sources"] == "mid"]["key"]) == set(apart[apart["sources"] == "mid"]["key"])
    assert not set(found[found["sources"] == "old"]["key"]) & set(apart["key"])


def test_a_strategy_object_may_not_take_the_name_of_another(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'scaled' is given as an object and in the study"):
        ran(tmp_path, strategies={"scaled": Broken()})


def test_an_unknown_property_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no property 'energy_j'; it has time_s"):
        ran(tmp_path, spec(properties=["energy_j"]))


@pytest.mark.parametrize(("where", "said"), [("", "names no data"), ("nowhere", "no data at 'nowhere'")])
def test_data_that_are_not_there_are_told(where: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        study_data(where)


def test_a_damaged_file_of_results_is_named(tmp_path: Path) -> None:
    ran(tmp_path)
    file = next((tmp_path / "cells").glob("*.parquet"))
    file.write_bytes(b"half a f")
    with pytest.raises(StoreError, match=f"{file.name} is no file of results.*delete it"):
        ran(tmp_path)
    file.unlink()
    assert ran(tmp_path).n_computed == 8


def test_results_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the folder"):
        Results(tmp_path / "file" / "cells")
