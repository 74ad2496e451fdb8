"""Learn the prior scales of the transfer members over many systems, by empirical Bayes.

For pairs of environments of every system, a few target rows are drawn and the members fitted (E-step:
the most likely scales and, from the curvature there, how well the rows determine them). The prior of
every scale is then the log-normal that covers these best (M-step), every system counting the same;
a pair counts for a member that uses sources as far as it predicts the rows better than the other such
members. A few rounds settle.

    python benchmarks/learn_priors.py DATA MORE_DATA --out src/perfport/transfer/priors.json --halves halves

With `--halves` the same is learned on the systems of even and of odd position in the alphabet alone,
written to `halves/0.json` and `halves/1.json`, each named after the half it has NOT seen: an error
measured with it on that half is one on new systems (see ablation.py).
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import perfport
from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError
from perfport.model.gp import Objective, fit_scales, scale_objective
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.transfer.auto import prior_of, target_rows
from perfport.transfer.members import Around, GramProblem
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.transfer.priors import MemberPrior, parse_priors
from perfport.transfer.rows import TargetRows

FloatArray = NDArray[np.float64]

RIVALS = ("around_source", "around_zero", "parts", "scaled")  # a pair counts for that which foretells its rows
ALONE = ("counts", "without_sources")  # use no source, so that every pair counts
AROUND: dict[str, Around] = {"around_source": "readings", "scaled": "readings", "parts": "smooth"}  # others: "zero"
BUDGETS = (10, 20, 50)
SOURCE_ROWS = 900  # enough to learn a source, few enough to learn hundreds
SPREAD_RANGE = (0.5, 3.0)  # of the log of a scale
MIN_CURVATURE = 0.7  # the rows never tell less than nothing: the prior alone has 1


@dataclass(frozen=True)
class Case:
    """Target rows of one pair of environments, as the members see them."""

    system: str
    rows: TargetRows
    unknown: float


@dataclass(frozen=True)
class Told:
    """What one case says of one member: log scales (amplitude first), their variances, the evidence."""

    names: tuple[str, ...]
    location: FloatArray
    variance: FloatArray
    log_density: float


def cases_of(folder: Path, n_pairs: int, seed: int) -> list[Case]:
    """Return cases of a system: one, two or three sources, a target, rows of several budgets."""
    tables = perfport.read_tables(folder)
    names, properties = sorted(tables.environments), sorted(tables.properties)
    rng = rng_for(seed, "priors", tables.name)
    cases = []
    for pair in range(n_pairs if len(names) > 1 else 0):
        prop = str(rng.choice(properties))
        target_name, *others = (str(name) for name in rng.permutation(names))
        sources = [some(tables.environments[name], SOURCE_ROWS, rng) for name in others[: 1 + pair % 3]]
        try:
            target = prepare_target(tables.environments[target_name], property=prop).dataset
            prepared = prepare_sources(sources, target.space, property=target.properties[prop])
        except NotEnoughDataError:
            continue
        for budget in BUDGETS:
            if budget <= len(target) // 2:
                rows = target.take(rng.choice(len(target), budget, replace=False))
                prior = prior_of([source.dataset for source in prepared], rows, prop)
                cases.append(Case(tables.name, target_rows(prior, rows, prop), prior.residual_variance))
    return cases


def some(dataset: Dataset, most: int, rng: np.random.Generator) -> Dataset:
    """Return at most so many rows, drawn at random."""
    return dataset if len(dataset) <= most else dataset.take(rng.choice(len(dataset), most, replace=False))


def told(case: Case, member: str, prior: MemberPrior) -> Told:
    """Fit a member to a case (E-step)."""
    unknown = case.unknown if member in ("around_source", "scaled") else 0.0
    problem = GramProblem.of(case.rows, prior, around=AROUND.get(member, "zero"), unknown=unknown)
    fit = fit_scales(problem.kernels, problem.fixed, problem.y, problem.prior)
    objective = scale_objective(problem.kernels, problem.fixed, problem.y, problem.prior)
    covariance = np.linalg.inv(curvature(objective, fit.whitened))
    sd = np.append(problem.prior.amplitude_sd, problem.prior.sd_log)
    # Relative to the amplitude's prior mean, which for some members is that of the rows.
    location = np.append(0.0, problem.prior.log_median) + sd * fit.whitened
    error, variance = fit.posterior.loo_error, fit.posterior.loo_variance
    density = -0.5 * np.log(variance) - 2.5 * np.log1p(np.square(error) / (4.0 * variance))
    names = (*(case.rows.names[i] for i in problem.used), "noise")
    return Told(names, location, np.square(sd) * np.diag(covariance), float(density.sum()))


def curvature(objective: Objective, q: FloatArray, step: float = 1e-4) -> FloatArray:
    """Return the Hessian by differences of the gradient, with its eigenvalues kept above a floor."""
    columns = [(objective(q + step * e)[1] - objective(q - step * e)[1]) / (2 * step) for e in np.eye(len(q))]
    values, vectors = np.linalg.eigh(0.5 * (np.stack(columns) + np.stack(columns).T))
    return np.asarray((vectors * np.maximum(values, MIN_CURVATURE)) @ vectors.T)


def learned(cases: list[Case], priors: dict[str, MemberPrior], only: Sequence[str]) -> dict[str, Any]:
    """Return member -> the entry of the prior file after one round (E- and M-step); `only`: see `main`."""
    systems = np.array([case.system for case in cases])
    alike = np.array([float((systems == system).sum()) for system in systems])
    rivals = {member: [told(case, member, priors[member]) for case in cases] for member in RIVALS}
    evidence = np.array([[answer.log_density for answer in answers] for answers in rivals.values()])
    shares = np.exp(evidence - evidence.max(axis=0))
    shares /= shares.sum(axis=0)
    entries = {
        member: entry(priors[member], answers, share / alike, only if member != "scaled" else ())
        for (member, answers), share in zip(rivals.items(), shares, strict=True)
    }
    with_counts = np.array(["count" in case.rows.names for case in cases])
    for member in ALONE:
        chosen = np.flatnonzero(with_counts) if member == "counts" else np.arange(len(cases))
        if len(chosen):
            answers = [told(cases[i], member, priors[member]) for i in chosen]
            entries[member] = entry(priors[member], answers, 1.0 / alike[chosen])
    return entries


def entry(prior: MemberPrior, answers: list[Told], weights: FloatArray, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the prior file says of a member (M-step); of the scales in `only`, where any are named."""
    shift, sd = summary([(w, a.location[0], a.variance[0]) for w, a in zip(weights, answers, strict=True)])
    if only:  # the others, and the amplitude they are relative to, stay
        shift, sd = 0.0, prior.amplitude_sd
    scales = {}
    for name, known in prior.scales.items():
        found = [
            (weight, answer.location[1 + answer.names.index(name)], answer.variance[1 + answer.names.index(name)])
            for weight, answer in zip(weights, answers, strict=True)
            if name in answer.names and (not only or name in only)
        ]
        # A scale none of these systems shows (counts need groups of options) keeps its prior.
        mean, spread = summary(found) if found else (np.log(known.median) - shift, known.sd_log)
        # The mean amplitude is fixed by convention: the medians of the scales take it up.
        scales[name] = [float(f"{np.exp(mean + shift):.3g}"), round(float(spread), 2)]
    return {"amplitude": {"mean": prior.amplitude, "sd": round(sd, 2)}, "scales": scales}


def summary(found: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the mean and spread of the log-normal that covers weighted locations of known variance."""
    weight, location, variance = np.array(found).T
    mean = float(np.average(location, weights=weight))
    spread = np.sqrt(np.average(np.square(location - mean) + variance, weights=weight))
    return mean, float(np.clip(spread, *SPREAD_RANGE))


def document(cases: list[Case], rounds: int, seed: int, only: Sequence[str]) -> dict[str, Any]:
    """Return the prior file learned from the cases, starting from the shipped one."""
    shipped = Path(perfport.__file__).parent / "transfer" / "priors.json"
    found: dict[str, Any] = json.loads(shipped.read_text())
    for number in range(rounds):
        found |= learned(cases, parse_priors(json.dumps(found)), only)
        print(f"round {number + 1}: " + json.dumps(found["around_source"]["scales"]), flush=True)
    kept = f"; scales of around_source and around_zero other than {', '.join(only)}: {found['origin']}" if only else ""
    origin = f"benchmarks/learn_priors.py, seed {seed}, {rounds} rounds, {len(cases)} cases{kept}"
    return found | {"origin": origin, "systems": sorted({case.system for case in cases})}


def readable(found: dict[str, Any]) -> str:
    """Return the prior file as JSON, pairs of numbers on one line."""
    text = json.dumps(found, indent=2)
    return re.sub(r"\[\s+([^\s\[\]\"]+),\s+([^\s\[\]\"]+)\s+\]", r"[\1, \2]", text) + "\n"


def on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with numerical libraries on one thread."""
    with one_thread():
        return function(*arguments)


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders of systems (each a folder with a datacard.yaml)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--halves", type=Path, help="folder for the priors learned on every second system")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of environments a system")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=(), help="scales of the two large members to learn; others stay")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the result does not depend on them")
    a = parser.parse_args()
    folders = sorted({card.parent.name: card.parent for d in a.data for card in d.glob("*/datacard.yaml")}.items())
    parallel = Parallel(a.jobs)
    by_system = parallel(delayed(on_one_thread)(cases_of, folder, a.pairs, a.seed) for _, folder in folders)
    outputs = {a.out: [case for cases in by_system for case in cases]}
    if a.halves:
        a.halves.mkdir(parents=True, exist_ok=True)
        for half in (0, 1):
            learned_on = [case for i, cases in enumerate(by_system) if i % 2 != half for case in cases]
            outputs[a.halves / f"{half}.json"] = learned_on
    documents = parallel(
        delayed(on_one_thread)(document, cases, a.rounds, a.seed, a.only) for cases in outputs.values()
    )
    for path, found in zip(outputs, documents, strict=True):
        path.write_text(readable(found))


if __name__ == "__main__":
    main()
