"""Running a study: plan the cells, compute those that are missing, keep every row.

    spec + data -> cells -> tasks (cells of one pair and property) -> executor -> Results -> rows

Rows are kept as tasks finish, so a study can be stopped in any way and goes on where it stopped.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.store import Store
from perfport.data.tables import SystemTables, read_tables
from perfport.errors import PerfError, UsageError
from perfport.executors import Executor, SerialExecutor
from perfport.signals import ending_in_order
from perfport.study.cells import Cell, CellTask, cell_key, run_task
from perfport.study.guard import GuardedTarget
from perfport.study.results import Results
from perfport.study.spec import Method, PairSpec, StudySpec
from perfport.transfer.base import TransferStrategy

__all__ = ["Environments", "StudyProgress", "StudyResult", "plan_cells", "run_study", "study_data"]

CARD_FILE = "datacard.yaml"
CELLS_PER_TASK = 60  # what is lost at most when a worker is killed; enough to share what sources teach

# (system, environment) -> its dataset.
Environments = Callable[[str, str], Dataset]


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """Where a running study stands.

    Attributes:
        n_done: Cells that have a row.
        n_total: Cells of the study.
        environment: Target of the task that finished last; "" before the first.
    """

    n_done: int
    n_total: int
    environment: str


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """What a study found.

    Attributes:
        spec: The study.
        rows: One a cell, in the order of the plan; columns as `perfport.study.results.COLUMNS`.
        n_before: Cells that had been computed before.
        n_computed: Cells computed now.
        elapsed_s: Wall time of this run.
    """

    spec: StudySpec
    rows: pd.DataFrame
    n_before: int
    n_computed: int
    elapsed_s: float


@dataclass(frozen=True)
class _Plan:
    cells: dict[str, Cell]
    tasks: list[CellTask] = field(default_factory=list)


def run_study(
    spec: StudySpec,
    out: Path | str,
    *,
    data: str | Path | Environments = "",
    executor: Executor | None = None,
    strategies: Mapping[str, TransferStrategy] | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
) -> StudyResult:
    """Compute every cell of a study that has no row yet.

    Args:
        spec: What to compare.
        out: Folder of the results; rows that are there already are not computed again.
        data: Where the environments are, instead of `spec.data`.
        executor: Computes the tasks; one after the other if not given. Rows do not depend on it.
        strategies: Name -> strategy object, compared beside those of the study. They must be picklable for
            an executor of several processes, and a name must always mean the same strategy.
        progress: Called at the start and whenever a task is done.

    Raises:
        UsageError: If the data have no such environment or property.
        LeakError: If a strategy or sampler touched test responses.
        StoreError: If rows cannot be kept.
        PerfError: If a worker process died.
    """
    started = time.monotonic()
    results = Results(Path(out) / "cells")
    known = set(results.read()["key"])
    environments = data if callable(data) else study_data(data or spec.data)
    plan = _plan(spec, environments, strategies or {}, known)
    n_before = len(known & set(plan.cells))
    n_done = n_before
    report = progress or (lambda _: None)
    report(StudyProgress(n_done, len(plan.cells), ""))
    with ending_in_order() as end_if_asked:
        for at, outcome in (executor or SerialExecutor()).run(run_task, plan.tasks):
            if isinstance(outcome.error, BrokenExecutor):
                raise PerfError(
                    f"a worker process died at target '{plan.tasks[at].target.name}' (out of memory, or killed); "
                    f"{n_done} of {len(plan.cells)} rows are kept, the same command goes on"
                ) from outcome.error
            rows = outcome.unwrap()
            results.append(rows)
            n_done += len(rows)
            report(StudyProgress(n_done, len(plan.cells), plan.tasks[at].target.name))
            end_if_asked()
    return StudyResult(spec, results.of(plan.cells), n_before, n_done - n_before, time.monotonic() - started)


def study_data(where: str | Path) -> Environments:
    """Return how to look up an environment.

    Args:
        where: A folder of tables, a folder of such folders, or a store (file or URL).

    Raises:
        UsageError: If it is none of these.
    """
    if not str(where):
        raise UsageError("the study names no data; give 'data' in its file, or --data")
    folder = Path(where)
    if not folder.exists() and "://" not in str(where):
        raise UsageError(f"there are no data at '{where}'; give a folder of tables or a store with --data")
    if not folder.is_dir():
        return _from_store(str(where))
    tables: dict[str, SystemTables] = {}

    def look_up(system: str, environment: str) -> Dataset:
        within, slash, name = environment.rpartition("/")
        if slash and (folder / within / CARD_FILE).is_file():
            system, environment = within, name
        if system not in tables:
            tables[system] = read_tables(_table_folder(folder, system))
        return tables[system].environments[environment]

    return look_up


def plan_cells(
    spec: StudySpec, environments: Environments, methods: Iterable[str]
) -> Iterator[tuple[PairSpec, str, list[Cell]]]:
    """Yield every pair and property with its cells, those compared on the same rows next to each other.

    Args:
        spec: What to compare.
        environments: For the properties of a target, where neither pair nor study names them.
        methods: Labels of the methods.

    Raises:
        UsageError: If a target has no such property.
    """
    labels = list(methods)
    samplers = [sampler.label for sampler in spec.samplers]
    for pair in spec.all_pairs():
        target = environments(pair.system, pair.target)
        for name in pair.properties or spec.properties or tuple(target.responses):
            target.response(name)  # says which properties there are if this is none
            cells = [
                Cell(pair.system, pair.sources, pair.target, name, sampler, method, budget, seed)
                for sampler, budget, seed, method in product(samplers, spec.budgets, spec.seeds, labels)
            ]
            yield pair, name, cells


def _plan(
    spec: StudySpec, environments: Environments, objects: Mapping[str, TransferStrategy], known: set[str]
) -> _Plan:
    methods: dict[str, Method | TransferStrategy] = {method.label: method for method in spec.methods()}
    twice = sorted(methods.keys() & objects.keys())
    if twice:
        raise UsageError(f"strategy '{twice[0]}' is given as an object and in the study; rename one")
    methods |= objects
    samplers = {sampler.label: sampler for sampler in spec.samplers}
    plan = _Plan({})
    for pair, name, cells in plan_cells(spec, environments, methods):
        target = GuardedTarget.of(environments(pair.system, pair.target), name)
        sources = tuple(environments(pair.system, source) for source in pair.sources)
        rename = _renamed(spec.rename, sources, target)
        keyed = {
            cell_key(cell, sources, target, max_test_rows=spec.max_test_rows, rename=rename): cell for cell in cells
        }
        plan.cells.update(keyed)
        missing = [(key, cell) for key, cell in keyed.items() if key not in known]
        for part in _parts(missing):
            task = CellTask(
                cells=tuple(cell for _, cell in part),
                keys=tuple(key for key, _ in part),
                sources=sources,
                target=target,
                samplers=samplers,
                methods=methods,
                max_test_rows=spec.max_test_rows,
                rename=rename,
            )
            plan.tasks.append(task)
    return plan


def _renamed(rename: Mapping[str, str], sources: Sequence[Dataset], target: GuardedTarget) -> dict[str, str]:
    """Return the renamings that join an option only a source has to one only the target has."""
    return {
        old: new
        for old, new in rename.items()
        if new in target.space
        and old not in target.space
        and any(old in source.space and new not in source.space for source in sources)
    }


def _parts(cells: Sequence[tuple[str, Cell]]) -> Iterator[Sequence[tuple[str, Cell]]]:
    for start in range(0, len(cells), CELLS_PER_TASK):
        yield cells[start : start + CELLS_PER_TASK]


def _table_folder(folder: Path, system: str) -> Path:
    if (folder / CARD_FILE).is_file() and system in ("", folder.name):
        return folder
    if not system:
        raise UsageError(f"'{folder}' holds tables of several systems; name one for each pair: {{system: ...}}")
    return folder / system


def _from_store(where: str) -> Environments:
    kept: dict[str, Dataset] = {}

    def look_up(system: str, environment: str) -> Dataset:
        if environment not in kept:
            with Store.open(where, create=False, read_only=True) as store:
                kept[environment] = store.dataset(environment, campaign=system or None)
        return kept[environment]

    return look_up
