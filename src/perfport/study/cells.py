"""Cells: the smallest piece of a study, one model fitted and judged; and how a worker computes many.

A cell depends on nothing but its own fields and the data, so cells may be computed in any order,
anywhere, again or not at all. Cells of one pair and property travel together, since what is learnt
from the sources is learnt once for all of them.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.errors import LeakError, UsageError
from perfport.executors import SerialExecutor
from perfport.plugins import resolve
from perfport.sampling import BUILTIN as SAMPLERS
from perfport.sampling.base import LearnsFromSource
from perfport.seeding import rng_for
from perfport.study.guard import GuardedTarget, Split
from perfport.study.spec import PROPOSE, Method, SamplerSpec
from perfport.transfer.api import propose
from perfport.transfer.base import TransferStrategy
from perfport.transfer.names import make_strategy
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.version import __version__

__all__ = ["Cell", "CellTask", "Row", "cell_key", "choose_rows", "run_task"]

Row = dict[str, Any]

METRICS = ("mape_pct", "median_ape_pct", "nmse", "within_10_pct", "spearman", "regret_pct")


@dataclass(frozen=True, slots=True)
class Cell:
    """One model to fit and to judge.

    Attributes:
        system: Folder of the tables; "" where there is only one.
        sources: Names of the source environments.
        target: Name of the target environment.
        property: What is predicted.
        sampler: How the rows are chosen, with settings.
        method: Strategy, learner and settings.
        budget: Target rows to measure.
        seed: Of all randomness.
    """

    system: str
    sources: tuple[str, ...]
    target: str
    property: str
    sampler: str
    method: str
    budget: int
    seed: int


@dataclass(frozen=True)
class CellTask:
    """What a worker is given: cells of one pair and property, and all they need.

    Attributes:
        cells: In the order to be computed.
        keys: One a cell.
        sources: Whole source environments.
        target: The target, guarded.
        samplers: Label -> sampler.
        methods: Label -> how to make the strategy, or the strategy.
        max_test_rows: Most rows a model is judged on.
        rename: Option in a source -> the same option in the target.
    """

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    sources: tuple[Dataset, ...]
    target: GuardedTarget
    samplers: Mapping[str, SamplerSpec]
    methods: Mapping[str, Method | TransferStrategy]
    max_test_rows: int
    rename: Mapping[str, str] = field(default_factory=dict)
    # Rows are chosen and prepared once for all methods that are compared on them.
    _splits: dict[tuple[str, int, int], tuple[Split, Dataset]] = field(default_factory=dict, repr=False)


def cell_key(
    cell: Cell,
    sources: Sequence[Dataset],
    target: GuardedTarget,
    *,
    max_test_rows: int,
    rename: Mapping[str, str] | None = None,
) -> str:
    """Return 24 hex digits over all that decides the result of a cell: its fields, the data, the version."""
    content = [__version__, asdict(cell), [source.key for source in sources], target.key, max_test_rows]
    content += [dict(rename)] if rename else []
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def run_task(task: CellTask) -> list[Row]:
    """Compute every cell of a task; a cell that raises becomes a row with its reason.

    Raises:
        LeakError: If test responses were touched: then no row of the study can be trusted.
    """
    task.target.check_sources(task.sources)
    rows: list[Row] = []
    for at, outcome in SerialExecutor().run(partial(_result, task), task.cells):
        if isinstance(outcome.error, LeakError):
            cell = task.cells[at]
            raise LeakError(f"'{cell.method}' on target '{cell.target}': {outcome.error.message}", cell=cell)
        common = {"key": task.keys[at], **asdict(task.cells[at]), "version": __version__}
        common["sources"] = "+".join(task.cells[at].sources)
        common |= _parts(task.methods[task.cells[at].method], task.cells[at].method)
        if outcome.error is None:
            rows.append(common | {"status": "ok", "reason": ""} | outcome.unwrap())
        else:
            reason = f"{type(outcome.error).__name__}: {' '.join(str(outcome.error).split())}"
            rows.append(common | _nothing() | {"status": "failed", "reason": reason})
    return rows


def choose_rows(
    sampler: SamplerSpec,
    sources: Sequence[Dataset],
    target: GuardedTarget,
    *,
    budget: int,
    seed: int,
    system: str = "",
    rename: Mapping[str, str] | None = None,
) -> NDArray[np.intp]:
    """Return the target rows to measure, distinct, fewer than the budget only if there are no more.

    The choice depends on configurations and sources, never on a response of the target; a random one
    is the same for every source and method, so that they are compared on the same rows.

    Args:
        sampler: Which sampler.
        sources: Known environments; a sampler that learns from one is given the first.
        target: What may be measured.
        budget: How many rows.
        seed: Of all randomness.
        system: Tells equal names of environments apart.
        rename: Option in a source -> the same option in the target.

    Raises:
        UsageError: If the sampler needs a source and there is none, or has no such setting.
    """
    name = target.property.name
    if sampler.sampler == PROPOSE:
        budget = min(budget, len(target))
        rows = propose(
            sources=sources,
            candidates=target.configurations,
            property=name,
            budget=budget,
            seed=seed,
            rename=rename or None,
            **sampler.settings,
        )
        return np.asarray(rows, dtype=np.intp)
    made = resolve("sampler", sampler.sampler, SAMPLERS)(**sampler.settings)
    if isinstance(made, LearnsFromSource):
        if not sources:
            raise UsageError(f"sampler '{sampler.sampler}' learns from a source, and there is none; give one")
        guide = sources[0]
        if rename:
            (prepared,) = prepare_sources([guide], target.space, property=name, rename=rename)
            guide = prepared.dataset
        made = made.with_source(guide, name)
    rng = rng_for(seed, "rows", system, target.name, name, sampler.label, budget)
    chosen = made.propose(target.space, budget, rng=rng, candidates=target.configurations)
    return np.asarray(chosen.index, dtype=np.intp)


def _result(task: CellTask, cell: Cell) -> Row:
    split, measured = _split(task, cell)
    started = time.perf_counter()
    method = task.methods[cell.method]
    strategy = (
        make_strategy(method.strategy, learner=method.learner, settings=method.settings)
        if isinstance(method, Method)
        else method
    )
    sources = [
        prepared.dataset
        for prepared in prepare_sources(
            task.sources, measured.space, property=measured.properties[cell.property], rename=task.rename
        )
    ]
    rng = rng_for(cell.seed, "fit", *asdict(cell).values())
    model = strategy.fit(sources, measured, property=cell.property, rng=rng)
    found = split.errors(model.predict)
    return {
        "n_measured": len(split.measured),
        "cost_s": split.cost_s,
        "n_test": found.n,
        **{name: getattr(found, name) for name in METRICS},
        "elapsed_s": time.perf_counter() - started,
    }


def _split(task: CellTask, cell: Cell) -> tuple[Split, Dataset]:
    key = (cell.sampler, cell.budget, cell.seed)
    if key not in task._splits:
        rows = choose_rows(
            task.samplers[cell.sampler],
            task.sources,
            task.target,
            budget=cell.budget,
            seed=cell.seed,
            system=cell.system,
            rename=task.rename,
        )
        rng = rng_for(cell.seed, "test", cell.system, cell.target, cell.property, cell.sampler, cell.budget)
        split = task.target.split(rows, max_test_rows=task.max_test_rows, rng=rng)
        task._splits[key] = split, prepare_target(split.measured, property=cell.property).dataset
    return task._splits[key]


def _parts(method: Method | TransferStrategy, label: str) -> Row:
    if isinstance(method, Method):
        return {"strategy": method.strategy, "learner": method.learner or ""}
    return {"strategy": label, "learner": ""}


def _nothing() -> Row:
    numbers = ("cost_s", *METRICS, "elapsed_s")
    return {"n_measured": 0, "n_test": 0} | dict.fromkeys(numbers, float("nan"))
