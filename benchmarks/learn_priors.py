"""Learn the prior scales of the transfer members over many systems, by empirical Bayes.

For pairs of environments of every system, a few target rows are drawn and the members fitted (E-step:
the most likely scales and, from the curvature there, how well the rows determine them). The prior of
every scale is then the log-normal that covers these best (M-step), every system counting the same;
a pair counts for a member as far as the member predicts its rows. A few rounds settle.

    python benchmarks/learn_priors.py ../shared/data --out src/perfport/transfer/priors.json
    python benchmarks/learn_priors.py ../shared/data --out half.json --leave-out 0   # cross-fitting

With `--leave-out 0` (or 1) the systems of even (odd) position in the alphabet are not learned from:
an error quoted for them is that of systems the priors have never seen.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import perfport
from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError
from perfport.model.gp import Objective, fit_scales, scale_objective
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.transfer.auto import prior_of, target_rows
from perfport.transfer.members import GramProblem, TargetRows
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.transfer.priors import MemberPrior, load_priors, parse_priors

FloatArray = NDArray[np.float64]

MEMBERS = ("around_source", "around_zero")
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


def cases_of(folder: Path, n_pairs: int, seed: int) -> Iterator[Case]:
    """Yield cases of a system: one, two or three sources, a target, rows of several budgets."""
    tables = perfport.read_tables(folder)
    names, properties = sorted(tables.environments), sorted(tables.properties)
    rng = rng_for(seed, "priors", tables.name)
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
                yield Case(tables.name, target_rows(prior, rows, prop), prior.residual_variance)


def some(dataset: Dataset, most: int, rng: np.random.Generator) -> Dataset:
    """Return at most so many rows, drawn at random."""
    return dataset if len(dataset) <= most else dataset.take(rng.choice(len(dataset), most, replace=False))


def told(case: Case, member: str, prior: MemberPrior) -> Told:
    """Fit a member to a case (E-step)."""
    problem = GramProblem.of(case.rows, prior, around_source=member == "around_source", unknown=case.unknown)
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


def learned(cases: list[Case], priors: dict[str, MemberPrior]) -> dict[str, Any]:
    """Return member -> the entry of the prior file after one round (E- and M-step)."""
    answers = {member: [told(case, member, priors[member]) for case in cases] for member in MEMBERS}
    evidence = np.array([[answer.log_density for answer in answers[member]] for member in MEMBERS])
    shares = np.exp(evidence - evidence.max(axis=0))
    shares /= shares.sum(axis=0)
    systems = np.array([case.system for case in cases])
    alike = {system: float((systems == system).sum()) for system in set(systems.tolist())}
    entries = {}
    for member, share in zip(MEMBERS, shares, strict=True):
        weights = share / [alike[system] for system in systems]
        prior = priors[member]
        scales = {}
        for name in prior.scales:
            found = [
                (weight, answer.location[1 + answer.names.index(name)], answer.variance[1 + answer.names.index(name)])
                for weight, answer in zip(weights, answers[member], strict=True)
                if name in answer.names
            ]
            # A scale no system of these shows (counts need groups of options) keeps its prior.
            mean, sd = summary(found) if found else (np.log(prior.scales[name].median), prior.scales[name].sd_log)
            scales[name] = [float(f"{np.exp(mean):.3g}"), round(sd, 2)]
        amplitude = [
            (weight, answer.location[0], answer.variance[0])
            for weight, answer in zip(weights, answers[member], strict=True)
        ]
        mean, sd = summary(amplitude)
        # The mean amplitude is fixed by convention: the medians of the scales take it up.
        scales = {name: [float(f"{median * np.exp(mean):.3g}"), spread] for name, (median, spread) in scales.items()}
        entries[member] = {"amplitude": {"mean": prior.amplitude, "sd": round(sd, 2)}, "scales": scales}
    return entries


def summary(found: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the mean and spread of the log-normal that covers weighted locations of known variance."""
    weight, location, variance = np.array(found).T
    mean = float(np.average(location, weights=weight))
    spread = np.sqrt(np.average(np.square(location - mean) + variance, weights=weight))
    return mean, float(np.clip(spread, *SPREAD_RANGE))


@one_thread()
def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders of systems (each a folder with a datacard.yaml)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", type=int, choices=(0, 1), help="learn from every second system only")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of environments a system")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    folders = sorted(card.parent for folder in a.data for card in folder.glob("*/datacard.yaml"))
    if a.leave_out is not None:
        folders = [folder for i, folder in enumerate(folders) if i % 2 != a.leave_out]
    cases = [case for folder in folders for case in cases_of(folder, a.pairs, a.seed)]
    shipped = Path(perfport.__file__).parent / "transfer" / "priors.json"
    document = json.loads(shipped.read_text())
    priors = load_priors()
    for number in range(a.rounds):
        document |= learned(cases, priors)
        priors = parse_priors(json.dumps(document))
        print(f"round {number + 1}: " + json.dumps(document["around_source"]["scales"]))
    names = ", ".join(folder.name for folder in folders)
    document["origin"] = (
        f"benchmarks/learn_priors.py, seed {a.seed}, {len(cases)} cases of {names}; "
        f"members other than {' and '.join(MEMBERS)} set by hand"
    )
    a.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
