"""Which influences stay, scale, flip, vanish or appear between two environments.

The source is a model (or rows to fit one to). The target is either another model, and then the components
of both are put side by side, or a few measured rows, and then the *changes* of the influences are inferred
from them: every influence of the source is expected to stay unless the rows say otherwise, and one that the
source does not have is expected not to appear (see `perfport.advise.comparison.spike_slab`). That is why 20 rows tell
the fate of a dozen influences among a hundred possible ones.

Example:
    >>> print(compare(source, target.take(rows), property="inference_time_s"))  # doctest: +SKIP
    inference_time_s, 'orin' to 'xavier': median ×1.9, rank correlation 0.71
      graph_optimisation stays: 41 % to 40 %, 99% sure
      threads scales: ×0.42 (0.35 to 0.50), 100% sure
      spinning flips: ×-0.80 (-0.95 to -0.66), 100% sure
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from perfport.advise.comparison.changes import infer_changes
from perfport.advise.comparison.components import Judge, components, strongest_pairs
from perfport.advise.comparison.contrasts import ContrastBasis
from perfport.advise.comparison.result import Comparison, InfluenceChange, RankChange
from perfport.advise.influences.coding import CodedRows, sample_configurations
from perfport.advise.uncertainty import Refit, central_response, draw_responses
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel
from perfport.model.rows import usable_rows
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.units import conversion_factor

__all__ = ["compare"]

MAX_ROWS = 2000  # configurations whose components are compared
_MAX_TARGET_ROWS = 150  # more rows say nothing new here, and the cost is cubic
_N_DRAWS = 200


@one_thread()
def compare(
    source: Dataset | PerformanceModel,
    target: Dataset | PerformanceModel,
    *,
    space: Space | None = None,
    property: str | None = None,  # the field's word
    configurations: pd.DataFrame | None = None,
    target_model: PerformanceModel | None = None,
    refits: tuple[Refit | None, Refit | None] = (None, None),
    smallest_effect_pct: float = 2.0,
    tolerance: float = 0.25,
    coverage: float = 0.9,
    n_ranks: int = 10,
    seed: int = 0,
) -> Comparison:
    """Compare the influences in two environments that have the same options.

    Args:
        source: Measured rows, or a model of the first environment.
        target: A few measured rows, or a model of the second.
        space: The options of both; that of a dataset if not given.
        property: Name of the response; needed if a dataset is given that has several.
        configurations: Which configurations matter; all valid ones of the space if not given.
        target_model: Predicts the target for the list of ranks (the transferred model, say); if not given,
            ranks follow from what is inferred here.
        refits: Refit of the source and of the target model for their uncertainty; see `explain`.
        smallest_effect_pct: An influence that typically moves the property by less is none.
        tolerance: A factor within 1 - this and 1 + this stays.
        coverage: Of the intervals.
        n_ranks: How many configurations to list.
        seed: Of all randomness.

    Raises:
        UsageError: If the options differ, the property is not known, or an argument is out of range.
        NotEnoughDataError: If a dataset has no usable row.
    """
    _check(smallest_effect_pct, tolerance, coverage)
    options = _common_space(source, target, space)
    name = _property_name(source, target, property)
    notes: list[str] = []
    model = _as_model(source, name, notes, seed)
    prop = target.properties[name] if isinstance(target, Dataset) else target.property
    ground = _Ground.of(options, configurations, model, prop, seed)
    judge = Judge(float(np.log1p(smallest_effect_pct / 100.0)), tolerance, (1.0 - coverage) / 2.0)
    if isinstance(target, Dataset):
        found = ground.from_rows(_told(target, name, notes, seed), judge)
    else:
        found = ground.from_models(target, judge, refits)
    log_source, log_target = ground.log_source, found.log_target
    if target_model is not None:
        log_target = np.log(central_response(target_model, ground.rows))
    is_best_low = prop.direction != "maximise"
    return Comparison(
        property=prop,
        source=_name_of(source, "source"),
        target=_name_of(target, "target"),
        influences=found.influences,
        ranks=_rank_changes(options, ground.rows, log_source, log_target, n=n_ranks, is_best_low=is_best_low),
        rank_correlation=_spearman(log_source, log_target),
        median_ratio=float(np.exp(np.median(log_target - log_source))),
        n_configurations=len(ground.rows),
        n_target_rows=found.n_rows,
        noise_pct=found.noise_pct,
        smallest_effect_pct=smallest_effect_pct,
        tolerance=tolerance,
        coverage=coverage,
        interval_origin=found.origin,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What became of the influences, and the log response of the target that follows."""

    influences: tuple[InfluenceChange, ...]
    log_target: FloatArray
    origin: str
    n_rows: int | None = None
    noise_pct: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """The configurations that are looked at, as the source sees them.

    Attributes:
        source: Model of the source.
        shift: Logarithm of the factor from the unit of the source to that of the target.
        rows: Configurations, n of them.
        is_sample: Whether there are others.
        coded: The same as level numbers.
        basis: Contrasts of the options.
        log_source: Log response of the source in the unit of the target, shape (n,).
        seed: Of all randomness.
    """

    source: PerformanceModel
    shift: float
    rows: pd.DataFrame
    is_sample: bool
    coded: CodedRows
    basis: ContrastBasis
    log_source: FloatArray
    seed: int

    @classmethod
    def of(
        cls, space: Space, configurations: pd.DataFrame | None, source: PerformanceModel, prop: Property, seed: int
    ) -> "_Ground":
        rows, is_exact = sample_configurations(space, configurations, max_rows=MAX_ROWS, seed=seed)
        shift = _unit_shift(source.property, prop)
        return cls(
            source=source,
            shift=shift,
            rows=rows,
            is_sample=not is_exact,
            coded=CodedRows.of(space, rows, keep_levels=is_exact),
            basis=ContrastBasis.of(space, rows),
            log_source=np.log(central_response(source, rows)) + shift,
            seed=seed,
        )

    def from_rows(self, told: Dataset, judge: Judge) -> _Found:
        """Infer what became of the influences of the source from measured target rows."""
        name = self.source.property.name
        before = np.log(central_response(self.source, told.configurations)) + self.shift
        pairs = strongest_pairs(self.basis, self.coded, self.log_source[:, None], is_sample=self.is_sample)
        own = components(self.basis, self.rows, self.log_source[:, None], pairs)
        found = infer_changes(
            self.basis,
            {term: b[:, 0] for term, b in own.items()},
            told.configurations,
            np.log(told.response(name)) - before,
            smallest=judge.smallest,
            rng=rng_for(self.seed, "advise", "changes"),
            known_se=np.nan_to_num(told.log_se[name]),
        )
        return _Found(
            influences=judge.all(found.source, found.target),
            log_target=self.log_source + found.mean_change(self.basis, self.rows),
            origin=f"{len(told)} measured rows of the target",
            n_rows=len(told),
            noise_pct=100.0 * float(np.median(found.draws.noise)),
        )

    def from_models(self, target: PerformanceModel, judge: Judge, refits: tuple[Refit | None, Refit | None]) -> _Found:
        """Put the components of both models side by side."""
        log_target = np.log(central_response(target, self.rows))
        both = np.column_stack([self.log_source, log_target])
        pairs = strongest_pairs(self.basis, self.coded, both, is_sample=self.is_sample)
        parts, origins = [], []
        for which, model, refit in (("source", self.source, refits[0]), ("target", target, refits[1])):
            rng = rng_for(self.seed, "advise", which)
            draws = draw_responses(model, self.rows, n=_N_DRAWS, rng=rng, refit=refit)
            responses = draws.responses if len(draws) else central_response(model, self.rows)[None, :]
            found = components(self.basis, self.rows, np.log(responses).T, pairs)
            parts.append({term: b.T for term, b in found.items()})
            origins.append(f"{which}: {draws.origin}")
        return _Found(judge.all(*parts), log_target, "; ".join(origins))


def _unit_shift(source: Property, target: Property) -> float:
    factor = conversion_factor(source.unit, target.unit)
    if factor is None:
        raise UsageError(
            f"'{source.name}' is in {source.unit or 'no unit'} in the source and in {target.unit or 'no unit'} in the "
            "target, which do not measure the same thing",
            units=(source.unit, target.unit),
        )
    return float(np.log(factor))


def _told(target: Dataset, name: str, notes: list[str], seed: int) -> Dataset:
    told, dropped = usable_rows(target, name)
    notes += dropped
    if len(told) <= _MAX_TARGET_ROWS:
        return told
    notes.append(f"{_MAX_TARGET_ROWS} of {len(told)} target rows were looked at")
    return told.take(np.sort(rng_for(seed, "advise", "rows").permutation(len(told))[:_MAX_TARGET_ROWS]))


def _rank_changes(
    space: Space, rows: pd.DataFrame, log_source: FloatArray, log_target: FloatArray, *, n: int, is_best_low: bool
) -> tuple[RankChange, ...]:
    sign = 1.0 if is_best_low else -1.0
    before, after = (rankdata(sign * values, method="min").astype(int) for values in (log_source, log_target))
    moved = np.argsort(-np.abs(after - before), kind="stable")[:n]
    moved = moved[before[moved] != after[moved]]
    configurations = space.configurations(rows.iloc[moved])
    return tuple(
        RankChange(
            configuration=configuration,
            source_rank=int(before[row]),
            target_rank=int(after[row]),
            source_response=float(np.exp(log_source[row])),
            target_response=float(np.exp(log_target[row])),
        )
        for row, configuration in zip(moved.tolist(), configurations, strict=True)
    )


def _spearman(first: FloatArray, second: FloatArray) -> float:
    """Return the rank correlation; 1 where one of the two does not vary, for then no rank can change."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 1.0
    return float(spearmanr(first, second).statistic)


def _as_model(source: Dataset | PerformanceModel, name: str, notes: list[str], seed: int) -> PerformanceModel:
    if not isinstance(source, Dataset):
        return source
    model = transfer(sources=[], target=source, property=name, seed=seed)
    notes += model.verdict.notes
    return model


def _common_space(source: object, target: object, space: Space | None) -> Space:
    known = [given.space for given in (target, source) if isinstance(given, Dataset)]
    if space is not None:
        known.insert(0, space)
    if not known:
        raise UsageError("two models were given and no space; give space=")
    for other in known[1:]:
        if set(other.names) != set(known[0].names):
            odd = sorted(set(other.names) ^ set(known[0].names))
            raise UsageError(
                f"the two environments differ in the option(s) {', '.join(odd)}; compare needs the same options: "
                "bring one to the other's by perfport.space.alignment",
                options=odd,
            )
    return known[0]


def _property_name(source: Dataset | PerformanceModel, target: Dataset | PerformanceModel, given: str | None) -> str:
    if given is not None:
        return given
    for side in (source, target):
        if not isinstance(side, Dataset):
            return side.property.name
    names = [set(side.properties) for side in (source, target) if isinstance(side, Dataset)]
    common = sorted(names[0] & names[1])
    if len(common) != 1:
        raise UsageError(f"the datasets share {len(common)} properties ({', '.join(common)}); give property=")
    return common[0]


def _name_of(side: Dataset | PerformanceModel, otherwise: str) -> str:
    return side.environment.name if isinstance(side, Dataset) else otherwise


def _check(smallest_effect_pct: float, tolerance: float, coverage: float) -> None:
    if smallest_effect_pct <= 0:
        raise UsageError(f"smallest_effect_pct is {smallest_effect_pct}: it must be positive")
    if not 0 <= tolerance < 1:
        raise UsageError(f"tolerance is {tolerance}: it must be at least 0 and below 1")
    if not 0 < coverage < 1:
        raise UsageError(f"coverage is {coverage}: it must lie between 0 and 1")
