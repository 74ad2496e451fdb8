"""Did a new version make it worse? A check that gates a release on a few measurements.

Measured responses are noisy, so a percentile of raw ratios fires on an unchanged version. The check
therefore infers the change of every configuration: a change common to all, and changes that follow from an
option or a pair of options, most probably none (see `perfport.advise.comparison.changes`). What neither explains is
measuring noise: as much as the rows say of themselves (`Dataset.log_se`) and as much as is seen beyond that. It has
heavy tails, so a single configuration that stands out is noise as well: one slow measurement is a busy machine more
often than a slow version. It is believed where it was measured more than once, or where the caller knows the noise.
The rule is evaluated on draws of the true changes; the check fails if it holds with the confidence asked for. The
options the change follows from are the suspects.

Example:
    >>> check = check_regression(before, after, rule="p90 slowdown > 10%")  # doctest: +SKIP
    >>> print(check)                                                        # doctest: +SKIP
    FAILED: rule 'p90 slowdown > 10%' holds with probability 1.00 over 20 configurations (p90 slowdown 46 %, 41 to 52)
      graph_optimisation: off ×1.01, all ×1.47
"""

import builtins
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.comparison.changes import InferredChanges, infer_changes
from perfport.advise.comparison.contrasts import ContrastBasis
from perfport.advise.influences.coding import sample_configurations
from perfport.advise.regression.pairing import MIN_ROWS, Pairs, Runs, configuration_text
from perfport.advise.regression.rules import Clause, Rule, parse_rule
from perfport.advise.rendering import html_block, level_text, setting_text
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.space import Space

__all__ = ["ClauseResult", "RegressionCheck", "Suspect", "check_regression"]

_SPACE_ROWS = 1000  # configurations that say how often each level occurs
_N_NEW = 0.3  # most versions change no influence at all
_NEW_SIZE = 0.2  # a change that matters to anyone moves the response by a fifth, typically
_SUSPECT = 0.8  # probability from which an option is named: an innocent one costs a day
_ASTRAY = 0.1  # share of the rows that are off by themselves, on a machine that is shared
_STANDS_OUT = 0.5  # probability from which it is said of a row
_SHOWN_LEVELS = 6


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """One clause of the rule, evaluated.

    Attributes:
        clause: As text.
        estimate_pct: Median of what is compared with the limit, in percent (of failures: as the limit).
        lower_pct: Lower end of its interval.
        upper_pct: Upper end.
        probability: That the clause holds.
    """

    clause: str
    estimate_pct: float
    lower_pct: float
    upper_pct: float
    probability: float

    def __str__(self) -> str:
        unit = " %" if self.clause.endswith("%") else ""
        subject = re.split("[<>]", self.clause)[0].strip()
        if self.lower_pct == self.upper_pct:
            return f"{subject} {self.estimate_pct:.3g}{unit}"
        return f"{subject} {self.estimate_pct:.3g}{unit}, {self.lower_pct:.3g} to {self.upper_pct:.3g}"


@dataclass(frozen=True, slots=True)
class Suspect:
    """An option, or a pair, that the change follows from.

    Attributes:
        options: One or two names.
        probability: That the change depends on them.
        factors: Level (of a pair: "option=level, option=level") -> change of the response, candidate over baseline.
    """

    options: tuple[str, ...]
    probability: float
    factors: Mapping[str, float]

    def __str__(self) -> str:
        if len(self.options) == 1:
            shown = ", ".join(f"{level} ×{factor:.2f}" for level, factor in self.factors.items())
        else:
            shown = "; ".join(f"{levels}: ×{factor:.2f}" for levels, factor in self.factors.items())
        return f"{' × '.join(self.options)}: {shown}"


@dataclass(frozen=True, slots=True)
class RegressionCheck:
    """The outcome of a check.

    Attributes:
        property: What was compared.
        rule: As given; the check fails if it holds.
        passed: Whether it does not hold, or not with enough confidence.
        probability: That the rule holds.
        confidence: How probable it must be for the check to fail.
        clauses: Of the rule, evaluated one by one.
        suspects: What the change follows from, most certain first.
        common_factor: Typical change, candidate over baseline (geometric mean over the configurations); None where
            too few ran to tell.
        n_configurations: Compared in both versions; where too few ran, those tried in both.
        failures: Configurations that used to run and no longer do, as text.
        notes: What was assumed or left out.
    """

    property: Property
    rule: str
    passed: bool
    probability: float
    confidence: float
    clauses: tuple[ClauseResult, ...]
    suspects: tuple[Suspect, ...]
    common_factor: float | None
    n_configurations: int
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @builtins.property
    def reason(self) -> str:
        """Why it passed or failed, on one line."""
        text = f"rule '{self.rule}' holds with probability {self.probability:.2f}"
        found = "; ".join(map(str, self.clauses))
        return f"{text} over {self.n_configurations} configurations ({found})"

    def table(self) -> pd.DataFrame:
        """Return one row a clause."""
        return pd.DataFrame([asdict(result) for result in self.clauses])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{'passed' if self.passed else 'FAILED'}: {self.reason}", *(f"  {one}" for one in self.suspects)]
        if not self.passed and not self.suspects and self.common_factor is not None:
            lines.append(f"  no option stands out; all configurations change by about ×{self.common_factor:.2f}")
        return "\n".join([*lines, *(f"  no longer runs: {text}" for text in self.failures), *self.notes])

    def _repr_html_(self) -> str:
        return html_block(str(self).splitlines()[0], self.table())


@one_thread()
def check_regression(
    baseline: Dataset | PerformanceModel,
    candidate: Dataset,
    *,
    rule: str = "p90 slowdown > 10%",
    property: str | None = None,  # the field's word
    noise_pct: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> RegressionCheck:
    """Check measurements of a new version against the old one.

    Args:
        baseline: Measurements of the old version, or a model of it. Measured configurations that both
            versions share are compared one by one; if they share few, a model is fitted to the old ones.
        candidate: Measurements of the new version: about 20 configurations in which every level occurs alike
            (`latin_hypercube`). Drawn at random, a level that changed may be in too few of them to tell from noise.
        rule: When to fail, see `perfport.advise.regression.rules`.
        property: Name of the response; needed if the candidate has several.
        noise_pct: How far two measurements of one unchanged configuration differ, as a standard deviation
            in percent (a replicate error); if given, what exceeds it counts as a real change. If not, what
            no option explains counts as noise.
        confidence: How probable the rule must be for the check to fail.
        seed: Of all randomness.

    Raises:
        UsageError: If the rule cannot be read, or the options or properties do not match.
        NotEnoughDataError: If fewer than 4 configurations can be compared, and the failures alone do not decide.
    """
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence is {confidence}: it must lie between 0.5 and 1", confidence=confidence)
    parsed = parse_rule(rule)
    name = _property_name(candidate, property)
    space, prop = candidate.space, candidate.properties[name]
    runs = Runs.of(baseline, candidate, name)
    if len(runs.new) < MIN_ROWS and _failures_decide(parsed, runs):
        return _failed_outright(parsed, runs, prop, confidence)
    pairs = Pairs.of(runs, baseline, candidate, name, seed)
    basis = ContrastBasis.of(space, _typical(space, pairs.configurations, seed))
    found = _infer(basis, pairs, noise_pct, seed)
    changes = _true_changes(basis, found, pairs, noise_pct=noise_pct, rng=rng_for(seed, "advise", "rows"))
    results = {clause: _Evaluated.of(clause, changes, pairs, runs, prop) for clause in dict.fromkeys(parsed.clauses)}
    probability = float(np.mean(_holds(parsed, results)))
    return RegressionCheck(
        property=prop,
        rule=rule,
        passed=probability < confidence,
        probability=probability,
        confidence=confidence,
        clauses=tuple(result.summary(clause) for clause, result in results.items()),
        suspects=_suspects(basis, found),
        common_factor=float(np.exp(np.median(changes.mean(axis=1)))),
        n_configurations=len(pairs.before),
        failures=runs.failures,
        notes=_notes(pairs, noise_pct, found),
    )


def _failures_decide(rule: Rule, runs: Runs) -> bool:
    """Return whether the rule holds whatever becomes of the responses."""
    return any(
        all(clause.quantity == "failures" and _failures_hold(clause, runs) for clause in clauses)
        for clauses in rule.alternatives
    )


def _failures_hold(clause: Clause, runs: Runs) -> bool:
    return bool(_COMPARE[clause.comparator](np.array(_failures(clause, runs)), clause.limit_pct))


def _failures(clause: Clause, runs: Runs) -> float:
    """Return the failures as the limit of the clause counts them: a number, or a share in percent."""
    n = len(runs.failures)
    return float(n) if clause.is_count else 100.0 * n / max(runs.n_baseline, 1)


def _failed_outright(rule: Rule, runs: Runs, prop: Property, confidence: float) -> RegressionCheck:
    """Return the outcome where so little runs any more that only the failures can be judged."""
    results = []
    for clause in dict.fromkeys(rule.clauses):
        if clause.quantity == "failures":
            amount = _failures(clause, runs)
            results.append(ClauseResult(str(clause), amount, amount, amount, float(_failures_hold(clause, runs))))
    return RegressionCheck(
        property=prop,
        rule=rule.text,
        passed=False,
        probability=1.0,
        confidence=confidence,
        clauses=tuple(results),
        suspects=(),
        common_factor=None,
        n_configurations=runs.n_baseline,
        failures=runs.failures,
        notes=(f"{len(runs.new)} configuration(s) ran in the new version: too few to compare {prop.name}",),
    )


def _typical(space: Space, measured: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return configurations in which every level occurs about as often as in the space."""
    rows, _ = sample_configurations(space, None, max_rows=_SPACE_ROWS, seed=seed)
    return pd.concat([rows, measured], ignore_index=True)


def _infer(basis: ContrastBasis, pairs: Pairs, noise_pct: float | None, seed: int) -> InferredChanges:
    """Infer the changes; the noise is what is known of it and what no option explains."""
    return infer_changes(
        basis,
        {},
        pairs.configurations,
        pairs.difference,
        smallest=np.inf,
        rng=rng_for(seed, "advise", "regression"),
        n_new=_N_NEW,
        new_size=_NEW_SIZE,
        astray=_ASTRAY,
        known_se=pairs.se if noise_pct is None else np.full(len(pairs.before), noise_pct / 100.0),
    )


def _true_changes(
    basis: ContrastBasis, found: InferredChanges, pairs: Pairs, *, noise_pct: float | None, rng: np.random.Generator
) -> FloatArray:
    """Return draws of the true change of every configuration, on the log scale, shape (k, m)."""
    changes = found.change_draws(basis, pairs.configurations)
    changes = changes + np.where(_is_believed(pairs, noise_pct), found.draws.astray, 0.0)
    if noise_pct is None:
        return changes
    # Of what the options leave, noise explains se^2 and the configuration itself the rest.
    own, se = np.square(found.draws.noise)[:, None], noise_pct / 100.0
    trust = own / (own + se**2)
    changes = changes + trust * (pairs.difference - changes)
    return np.asarray(changes + np.sqrt(trust) * se * rng.standard_normal(changes.shape))


def _is_believed(pairs: Pairs, noise_pct: float | None) -> NDArray[np.bool_]:
    """Of each configuration whether a change of its own is believed, were it to stand out."""
    return pairs.is_repeated if noise_pct is None else np.ones(len(pairs.before), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluated:
    """The statistic of a clause in every draw, in percent, and whether the clause holds in it."""

    values: FloatArray
    holds: NDArray[np.bool_]

    @classmethod
    def of(cls, clause: Clause, changes: FloatArray, pairs: Pairs, runs: Runs, prop: Property) -> "_Evaluated":
        if clause.quantity == "failures":
            values = np.full(len(changes), _failures(clause, runs))
        else:
            worse = -1.0 if prop.direction == "maximise" else 1.0
            sign = {"increase": 1.0, "decrease": -1.0, "slowdown": worse, "speedup": -worse}[clause.quantity]
            values = _statistic(clause.statistic, changes, pairs.before, sign, best=np.max if worse < 0 else np.min)
            # A decrease is a share of what there was, all the others are shares above it.
            values = 100.0 * (-np.expm1(-values) if clause.quantity == "decrease" else np.expm1(values))
        return cls(values, _COMPARE[clause.comparator](values, clause.limit_pct))

    def summary(self, clause: Clause) -> ClauseResult:
        lower, middle, upper = np.quantile(self.values, [0.05, 0.5, 0.95]).tolist()
        return ClauseResult(str(clause), middle, lower, upper, float(np.mean(self.holds)))


_COMPARE: Mapping[str, Callable[[FloatArray, float], NDArray[np.bool_]]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
}


def _statistic(
    statistic: str, changes: FloatArray, before: FloatArray, sign: float, *, best: Callable[..., Any]
) -> FloatArray:
    """Return a statistic of the signed changes of each draw, on the log scale, shape (k,)."""
    if statistic == "best":
        return np.asarray(sign * (best(before + changes, axis=1) - best(before)))
    signed = sign * changes
    if statistic == "mean":
        return np.asarray(signed.mean(axis=1))
    percentile = {"median": 50.0, "max": 100.0, "min": 0.0}.get(statistic)
    return np.asarray(np.percentile(signed, float(statistic[1:]) if percentile is None else percentile, axis=1))


def _holds(rule: Rule, results: Mapping[Clause, _Evaluated]) -> NDArray[np.bool_]:
    every = [np.all([results[clause].holds for clause in clauses], axis=0) for clauses in rule.alternatives]
    return np.asarray(np.any(every, axis=0))


def _suspects(basis: ContrastBasis, found: InferredChanges) -> tuple[Suspect, ...]:
    """Name terms that surely changed, and options of which it is sure that they matter but not with which others."""
    named = {term: probability for term, probability in found.probability.items() if probability >= _SUSPECT}
    explained = {option for term in named for option in term}
    changed = {term: np.any(found.target[term] != found.source[term], axis=1) for term in found.changed}
    for option in basis.contrasts:
        with_it = [in_draw for term, in_draw in changed.items() if option in term]
        if option not in explained and with_it:
            named[option,] = float(np.mean(np.any(with_it, axis=0)))
    return tuple(
        Suspect(term, named[term], _factors(basis, found, term))
        for term in sorted(named, key=lambda t: (-named[t], t))
        if named[term] >= _SUSPECT
    )


def _factors(basis: ContrastBasis, found: InferredChanges, term: tuple[str, ...]) -> dict[str, float]:
    """Return what becomes of the response at each level (or pair of levels), the other options averaged."""
    levels = [_some(basis.contrasts[name].levels) for name in term]
    grid = pd.MultiIndex.from_product(levels, names=list(term)).to_frame(index=False)
    parts = [term] if len(term) == 1 else [*((name,) for name in term), term]
    total = np.full(len(grid), float(found.draws.intercepts.mean()))
    for part in parts:
        total += basis.columns(part, grid) @ found.target[part].mean(axis=0)
    if len(term) == 1:
        texts = [level_text(level) for level in grid[term[0]]]
    else:
        texts = [", ".join(setting_text(name, grid[name].iloc[row]) for name in term) for row in range(len(grid))]
    return {text: float(factor) for text, factor in zip(texts, np.exp(total), strict=True)}


def _some(levels: tuple[Any, ...]) -> list[Any]:
    """Return at most `_SHOWN_LEVELS` levels, the ends among them."""
    if len(levels) <= _SHOWN_LEVELS:
        return list(levels)
    return [levels[round(i)] for i in np.linspace(0, len(levels) - 1, _SHOWN_LEVELS)]


def _notes(pairs: Pairs, noise_pct: float | None, found: InferredChanges) -> tuple[str, ...]:
    notes = list(pairs.notes)
    believed = _is_believed(pairs, noise_pct)
    for row in np.flatnonzero(np.mean(found.draws.astray != 0.0, axis=0) > _STANDS_OUT).tolist():
        text = configuration_text(pairs.configurations, row)
        doubt = "" if believed[row] else ", not counted, measure it again"
        notes.append(f"stands out with ×{np.exp(pairs.difference[row]):.2f}{doubt}: {text}")
    if noise_pct is None:
        inferred = 100.0 * float(np.median(found.draws.noise))
        known = 100.0 * float(np.median(pairs.se))
        beyond = f", beyond the {known:.2g} % that the rows say of themselves" if known else ""
        notes.append(f"noise between the two versions: {inferred:.2g} %, inferred from what no option explains{beyond}")
    return tuple(notes)


def _property_name(candidate: Dataset, given: str | None) -> str:
    if given is not None:
        candidate.response(given)
        return given
    if len(candidate.properties) != 1:
        raise UsageError(f"the candidate has the properties {', '.join(candidate.properties)}; give property=")
    return next(iter(candidate.properties))
