"""What each part of the strategy `auto` buys: errors without the part over errors with it.

    python benchmarks/ablation.py DATA --halves halves --out ablation.csv
    python benchmarks/ablation.py --table ablation.csv

DATA holds one folder of tables a system, named as in the list of transfers (`--tasks`). With
`--halves` (made by learn_priors.py) each system is judged with priors that were learned on other systems only.
Errors are mean absolute percentage errors on target rows that were not measured; the table gives geometric
means of their ratios over tasks, and below them a 90 % interval from resampling whole systems.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tasks import TRANSFERS, transfer_tasks

import perfport
from perfport.data.dataset import Dataset
from perfport.model.metrics import mape_pct
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.encoding import Encoder
from perfport.transfer.auto import WITH_SOURCES, combined_source, fitted_members, prior_of, target_rows
from perfport.transfer.calibration import CalibratedMember
from perfport.transfer.kernels import CombinedSource
from perfport.transfer.members import FittedMember
from perfport.transfer.mixed import MixedModel, mixed
from perfport.transfer.outliers import fit_suspecting
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.transfer.priors import MemberPrior, load_priors, parse_priors
from perfport.transfer.propose import BELIEFS, a_optimal, prior_covariances
from perfport.transfer.rows import TargetRows
from perfport.transfer.source import cached_sources
from perfport.transfer.stacking import Mixture, stack_weights

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Priors = Mapping[str, MemberPrior]

KERNELS = {
    "what is alike in the source (ard, ard2, forest)": ("ard", "ard2", "forest"),
    "what is influential in the source (infl)": ("infl",),
    "any option, pair, anything smooth (main, inter, iso)": ("main", "inter", "iso"),
    "scaled and bent predictions (slope, link)": ("slope", "link"),
    "a constant added to the response (overhead)": ("overhead",),
    "deviations of single rows (r)": ("r",),
}
DESIGNS = {"proposed": BELIEFS} | {f"proposed for {belief} alone": (belief,) for belief in BELIEFS}
MAX_CANDIDATES = 1000
MAX_TEST = 600
AROUND = ("around_source", "around_zero", "parts")  # members that kernels are dropped from
FULL = "everything"


@dataclass(frozen=True)
class Case:
    """One transfer task with what does not depend on the rows that are measured."""

    task: dict[str, str]
    sources: list[Dataset]
    target: Dataset
    priors: Priors

    @property
    def property(self) -> str:
        """Name of the response."""
        return self.task["objective"]


def main() -> None:
    """Measure, or print the table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument(
        "--tasks",
        type=Path,
        default=TRANSFERS,
        help="list of {system, objective, source, target}; benchmarks/tasks/transfers.yaml if not given",
    )
    parser.add_argument("--halves", type=Path, help="folder of priors learned on every second system")
    parser.add_argument("--out", type=Path, default=Path("ablation.csv"))
    parser.add_argument("--table", type=Path, help="print the table of a file made before")
    parser.add_argument("--budgets", default="5,10,20,50")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--every", type=int, default=1, help="every so manieth task only")
    parser.add_argument("--jobs", type=int, default=1)
    a = parser.parse_args()
    if a.table is None:
        if a.data is None:
            parser.error("give DATA, a folder with a folder of tables for each system, or --table FILE made before")
        tasks = transfer_tasks(a.tasks)[:: a.every]
        numbers = [[int(part) for part in text.split(",")] for text in (a.budgets, a.seeds)]
        found = Parallel(a.jobs)(delayed(measured)(a.data, task, a.halves, *numbers) for task in tasks)
        pd.DataFrame([row for rows in found for row in rows]).to_csv(a.out, index=False, float_format="%.6g")
    print(table(pd.read_csv(a.table or a.out)))


def measured(
    data: Path, task: dict[str, str], halves: Path | None, budgets: list[int], seeds: list[int]
) -> list[dict[str, Any]]:
    """Return one row a budget, seed, way of choosing rows and variant."""
    with one_thread():
        case = case_of(data, task, halves)
        return [
            {**task, "n": n, "seed": seed, "rows": how, "variant": variant, **outcome}
            for n in budgets
            if n <= len(case.target) // 2
            for seed in seeds
            for how, rows in choices(case, n, seed)
            for variant, outcome in variants(case, rows, full=how in ("random", "proposed"))
        ]


def case_of(data: Path, task: dict[str, str], halves: Path | None) -> Case:
    """Read the tables of a task and prepare them as `perfport.transfer` does."""
    tables = perfport.read_tables(data / task["system"])
    prop = task["objective"]
    target = prepare_target(tables.environments[task["target"]], property=prop).dataset
    sources = [tables.environments[name] for name in task["source"].split("+")]
    prepared = prepare_sources(sources, target.space, property=target.properties[prop])
    return Case(task, [source.dataset for source in prepared], target, priors_for(tables.name, halves))


def priors_for(system: str, halves: Path | None) -> Priors:
    """Return priors that were not learned on the system; the shipped ones where there are no halves."""
    for path in sorted(halves.glob("*.json")) if halves else ():
        if system not in json.loads(path.read_text())["systems"]:
            return parse_priors(path.read_text())
    return load_priors()


def choices(case: Case, n: int, seed: int) -> Iterator[tuple[str, IntArray]]:
    """Yield ways of choosing the rows to measure, and the rows."""
    rng = rng_for(seed, "ablation", n)
    yield "random", rng.choice(len(case.target), n, replace=False)
    keys = Encoder(case.target.space, fitted_on=case.target.configurations).keys(case.target.configurations)
    _, pool = np.unique(keys, return_index=True)
    if len(pool) > MAX_CANDIDATES:
        pool = np.sort(rng.choice(pool, MAX_CANDIDATES, replace=False))
    prior = combined_source(cached_sources(case.sources, property=case.property), None, case.property)
    candidates = case.target.configurations.iloc[pool]
    for how, beliefs in DESIGNS.items():
        covariances = prior_covariances(prior, candidates, priors=case.priors, beliefs=beliefs)
        yield how, pool[a_optimal(covariances, min(n, len(pool)), rng=rng_for(seed, "ablation", "ties"))]


def variants(case: Case, rows: IntArray, *, full: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield variants of the model of the rows, and their outcome on the other rows."""
    told = case.target.take(np.sort(rows))
    prior = prior_of(case.sources, told, case.property)
    believed = target_rows(prior, told, case.property)
    rest = np.setdiff1d(np.arange(len(case.target)), rows)
    rest = rng_for(0, "test").choice(rest, min(len(rest), MAX_TEST), replace=False)
    judge = Judge(case, prior, believed, rest)
    whole = fit_suspecting(believed, lambda rows: judge.mix(fitted_members(rows, prior, case.priors), rows))
    yield FULL, judge.error(whole) | judge.interval(whole)
    if not full:
        return
    yield "suspect readings", judge.error(judge.mix(fitted_members(believed, prior, case.priors), believed))
    known = whole.rows
    members = {name: one.member for name, one in whole.members.items()}
    for name in members:
        yield f"member {name}", judge.error(judge.mix({k: m for k, m in members.items() if k != name}, known))
    for name, names in KERNELS.items():
        gram = fitted_members(known, prior, {k: without(p, names) for k, p in case.priors.items()})
        yield f"kernels: {name}", judge.error(judge.mix(members | {k: gram[k] for k in AROUND}, known))
    wanted = np.asarray([WITH_SOURCES[name] for name in members])
    wanted /= wanted.sum()
    yield "votes by left-out rows", judge.error(replace(whole, weights=wanted))
    errors, variances = (np.stack(part) for part in zip(*map(left_out, whole.members.values()), strict=True))
    free = stack_weights(errors, variances, np.zeros(len(wanted)), wanted)
    yield "votes pay for parameters", judge.error(replace(whole, weights=free))
    yield "votes by certainty at the row", judge.error(whole, alike=True)
    uncalibrated = {name: CalibratedMember(one.member, 1.0) for name, one in whole.members.items()}
    yield "calibrated variances", judge.error(replace(whole, members=uncalibrated))
    yield "doubt", judge.error(replace(whole, doubt=0.0))
    yield "shift below the median", judge.error(whole, shifted=False)


def left_out(member: FittedMember) -> tuple[FloatArray, FloatArray]:
    """Return leave-one-out errors and variances, each of shape (n,)."""
    return member.loo_error, member.loo_variance


def without(prior: MemberPrior, names: tuple[str, ...]) -> MemberPrior:
    """Return a member's prior without some kernels."""
    return replace(prior, scales={name: scale for name, scale in prior.scales.items() if name not in names})


class Judge:
    """Asks members about the rows that were not measured, each member once."""

    def __init__(self, case: Case, prior: CombinedSource, known: TargetRows, rest: IntArray) -> None:
        self.case, self.prior = case, prior
        self.y = case.target.response(case.property)[rest]
        self.seen = prior.see(case.target.configurations.iloc[rest])
        self.cross, self.diagonals = prior.kernels(self.seen, known.seen), prior.diagonals(self.seen)
        self._answers: dict[int, tuple[FittedMember, tuple[FloatArray, FloatArray]]] = {}

    def mix(self, members: Mapping[str, FittedMember], known: TargetRows) -> MixedModel:
        """Return the mixture that `auto` makes of members that were fitted to the rows."""
        return mixed(self.prior, known, members, WITH_SOURCES, property=self.case.target.properties[self.case.property])

    def error(self, model: MixedModel, *, alike: bool = False, shifted: bool = True) -> dict[str, float]:
        """Return the error of a model.

        Args:
            model: A mixture of members.
            alike: Whether a member's vote counts the same at every row, however certain it is there.
            shifted: Whether `predict` is judged, and not `predict_median`.
        """
        mixture = self._mixture(model)
        if alike:
            shares = np.append((1.0 - model.doubt) * model.weights, model.doubt)[: len(mixture.means)]
            mixture = Mixture(np.repeat(shares[:, None], len(self.y), axis=1), mixture.means, mixture.variances)
        return {"mape_pct": mape_pct(self.y, model.point(mixture) if shifted else model.centre(mixture))}

    def interval(self, model: MixedModel) -> dict[str, float]:
        """Return coverage and relative width of the interval that aims at 90 %."""
        lower, upper = model.limits(self._mixture(model), coverage=0.9)
        covered = float(np.mean((self.y >= lower) & (self.y <= upper)))
        return {"coverage": covered, "width": float(np.median((upper - lower) / self.y))}

    def _mixture(self, model: MixedModel) -> Mixture:
        parts = [self._answer(member) for member in model.members.values()]
        means, variances = (np.stack(part) for part in zip(*parts, strict=True))
        return model.mixture_of(means, variances)

    def _answer(self, member: FittedMember) -> tuple[FloatArray, FloatArray]:
        if isinstance(member, CalibratedMember):
            mean, variance = self._answer(member.member)
            return mean, member.factor * variance
        if id(member) not in self._answers:
            # The member is kept too, or another one could come to live at its address.
            self._answers[id(member)] = member, member.predict(self.seen, self.cross, self.diagonals)
        return self._answers[id(member)][1]


def table(found: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    key = ["system", "objective", "source", "target", "n", "seed"]
    full = found[found.variant == FULL].set_index([*key, "rows"])
    budgets = sorted(int(n) for n in found.n.unique())
    lines = [header(budgets)]
    for variant in [v for v in found.variant.unique() if v != FULL]:
        part = found[found.variant == variant].set_index([*key, "rows"])
        ratio = np.log(part.mape_pct / full.mape_pct.reindex(part.index)).reset_index()
        lines.append(line(variant, [ratio[ratio.rows == how] for how in ("proposed", "random")], budgets))
    errors = full.mape_pct.unstack("rows")
    designs = {f"proposed for {belief} alone": f"design for all beliefs, not {belief} alone" for belief in BELIEFS}
    for design, name in ({"random": "proposed, not random rows"} | designs).items():
        ratio = (np.log(errors[design]) - np.log(errors["proposed"])).rename("mape_pct").reset_index()
        lines.append(line(name, [ratio, ratio.iloc[:0]], budgets))
    lines += [
        "",
        "| rows | n | coverage of 90 % intervals | spread over tasks | median relative width |",
        "|---|---|---|---|---|",
    ]
    for (how, n), part in full.groupby(["rows", "n"]):
        if how in ("proposed", "random"):
            spread, width = part.coverage.std(), part.width.median()
            lines.append(f"| {how} | {n} | {part.coverage.mean():.3f} | {spread:.3f} | {width:.2f} |")
    return "\n".join(lines)


def header(budgets: list[int]) -> str:
    """Return the head of the table."""
    names = [f"{how} {n}" for how in ("proposed", "random") for n in [*budgets, "all"]]
    return f"| without | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}"


def line(name: str, ratios: list[pd.DataFrame], budgets: list[int]) -> str:
    """Return a line: geometric means of error ratios by budget, then over all with an interval over systems."""
    cells = []
    for ratio in ratios:
        by_budget = ratio.groupby("n").mape_pct.mean()
        cells += [f"{np.exp(by_budget[n]):.3f}" if n in by_budget else "" for n in budgets]
        cells.append(whole(ratio) if len(ratio) else "")
    return f"| {name} | {' | '.join(cells)} |"


def whole(ratio: pd.DataFrame) -> str:
    """Return the geometric mean over all budgets, each counting the same, and its 90 % interval."""
    by_system = ratio.groupby(["system", "n"]).mape_pct.mean().unstack()
    rng = np.random.default_rng(0)
    draws = by_system.to_numpy()[rng.integers(len(by_system), size=(1000, len(by_system)))]
    lower, upper = np.exp(np.quantile(np.nanmean(draws, axis=(1, 2)), [0.05, 0.95]))
    return f"{np.exp(ratio.groupby('n').mape_pct.mean().mean()):.3f} ({lower:.2f} to {upper:.2f})"


if __name__ == "__main__":
    main()
