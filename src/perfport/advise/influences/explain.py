"""What matters: the influence of every option and every pair of options on a property.

Takes any performance model and the space it was made for; gives shares of the variance (functional
ANOVA, see `perfport.advise.influences.anova`), effect curves in the unit of the property, and a formula that says the
most important part of it in one line. Spaces of up to `max_rows` valid configurations are explained
exactly, larger ones from a uniform sample of that size.

Example:
    >>> explanation = explain(model, system.space)          # doctest: +SKIP
    >>> print(explanation)                                  # doctest: +SKIP
    inference_time_s, log scale: 768 configurations
      51 % core_freq (47 % to 55 %): 345600: 1.62 s ... 2035200: 0.41 s
      12 % gpu_freq × emc_freq (9 % to 15 %)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from perfport.advise.influences.anova import Anova, Decomposition
from perfport.advise.influences.coding import MANY_LEVELS, CodedRows, sample_configurations
from perfport.advise.influences.explanation import EffectCurve, Explanation, Influence
from perfport.advise.uncertainty import Refit, central_response, draw_responses
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel
from perfport.model.influence import ResponseScale, fit_influence_model
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.options import Option
from perfport.space.space import Space

__all__ = ["MAX_ROWS", "explain"]

MAX_ROWS = 20_000  # explained exactly up to here; a sample of as many keeps shares within 0.01
_DRAW_ROWS = 1000  # rows on which intervals are computed: errors vary smoothly, and draws cost memory
_FORMULA_ROWS = 400
_FORMULA_TERMS = (2, 4, 6)  # tried in turn; more than fits a line is no formula to read
_FORMULA_SHARE = 0.95  # of the variance: enough to stop adding terms
# A sum is easier to read than a product, so it is tried first.
_SCALES_TRIED: Mapping[ResponseScale, tuple[ResponseScale, ...]] = {"linear": ("linear",), "log": ("linear", "log")}


@one_thread()
def explain(
    model: PerformanceModel,
    space: Space,
    *,
    configurations: pd.DataFrame | None = None,
    scale: ResponseScale = "log",
    coverage: float = 0.9,
    refit: Refit | None = None,
    n_draws: int = 50,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> Explanation:
    """Explain what a model says about the options of a space.

    Args:
        model: Any performance model.
        space: The options and constraints it was made for.
        configurations: Which configurations matter, all equally; all valid ones of the space if not given.
            Those given are taken for a sample of them.
        scale: "log" explains factors (needs positive responses), "linear" differences.
        coverage: Of the intervals.
        refit: Returns a model fitted on resampled rows (see `bootstrap`); its draws are preferred to the
            model's own account of its uncertainty.
        n_draws: How many draws or refits the intervals rest on.
        max_rows: Largest number of configurations to look at.
        seed: Of sampling and draws.

    Raises:
        UsageError: If an argument is out of range, or a response is not positive on the log scale.
        NotEnoughDataError: If there are fewer than two configurations.
    """
    _check(scale, coverage, max_rows)
    rows, is_exact = sample_configurations(space, configurations, max_rows=max_rows, seed=seed)
    coded = CodedRows.of(space, rows, keep_levels=is_exact)
    response = _on_scale(central_response(model, rows), scale, model.property)
    found = Anova(coded.codes, is_sample=not is_exact).decompose(response[:, None])
    rng = rng_for(seed, "advise", "draws")
    some = coded.some(_DRAW_ROWS, found.factors, rng)
    draws = draw_responses(model, rows.iloc[some].reset_index(drop=True), n=n_draws, rng=rng, refit=refit)
    drawn = _on_scale(draws.responses, scale, model.property)
    whole = _Whole(
        scale=scale,
        tail=(1.0 - coverage) / 2.0,
        coded=coded,
        found=found,
        mean=float(response.mean()),
        draws=_Draws.of(drawn, coded, some, is_sample=not is_exact or len(some) < len(rows)),
    )
    formula, formula_share = _formula(model.property, space, rows, response, scale=scale, seed=seed)
    return Explanation(
        property=model.property,
        scale=scale,
        influences=whole.influences(),
        remainder=float(whole.found.remainder[0]),
        curves=tuple(whole.curve(space.options[factor], factor) for factor in found.factors),
        formula=formula,
        formula_share=formula_share,
        n_configurations=len(rows),
        is_exact=is_exact,
        coverage=coverage,
        interval_origin=draws.origin,
        notes=_notes(found, coded),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """The decomposition of every draw, on a part of the rows; all empty without draws.

    Attributes:
        means: Of each draw, on the scale of the explanation, shape (k,).
        shares: Factor, or pair of factors -> its share in each draw, shape (k,).
        levels: Factor and level -> its main effect in each draw, shape (k,).
    """

    means: FloatArray
    shares: Mapping[tuple[int, ...], FloatArray]
    levels: Mapping[tuple[int, int], FloatArray]

    @classmethod
    def of(cls, drawn: FloatArray, coded: CodedRows, some: NDArray[np.int64], *, is_sample: bool) -> "_Draws":
        """Decompose draws, shape (k, m), of the m rows `some`."""
        if not len(drawn):
            return cls(np.empty(0), {}, {})
        codes, level_of = coded.part(some)
        found = Anova(codes, is_sample=is_sample).decompose(drawn.T)
        shares: dict[tuple[int, ...], FloatArray] = {(i,): found.main[i] for i in found.factors}
        shares |= dict(zip(found.pairs, found.interactions, strict=True))
        levels = {
            (factor, int(level)): found.levels[factor][row]
            for factor in found.factors
            for row, level in enumerate(level_of[factor])
        }
        return cls(drawn.mean(axis=1), shares, levels)


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """All that was computed, before it is put in words and units."""

    scale: ResponseScale
    tail: float
    coded: CodedRows
    found: Decomposition
    mean: float
    draws: _Draws

    def influences(self) -> tuple[Influence, ...]:
        shares: dict[tuple[int, ...], float] = {
            (factor,): float(self.found.main[factor, 0]) for factor in self.found.factors
        }
        shares |= {pair: float(row[0]) for pair, row in zip(self.found.pairs, self.found.interactions, strict=True)}
        influences = [self._influence(factors, share) for factors, share in shares.items()]
        return tuple(sorted(influences, key=lambda influence: -influence.share))

    def _influence(self, factors: tuple[int, ...], share: float) -> Influence:
        lower, upper = None, None
        if factors in self.draws.shares:
            lower, upper = self._interval(self.draws.shares[factors], share)
        spread = float(np.sqrt(share * self.found.variance[0]))
        options = tuple(self.coded.names[factor] for factor in factors)
        return Influence(options, share, lower, upper, float(np.exp(spread)) if self.scale == "log" else spread)

    def curve(self, option: Option, factor: int) -> EffectCurve:
        estimates = self.mean + self.found.levels[factor][:, 0]
        lower, upper = None, None
        if (factor, 0) in self.draws.levels:
            drawn = [self.draws.means + self.draws.levels[factor, level] for level in range(len(estimates))]
            ends = [self._interval(*pair) for pair in zip(drawn, map(float, estimates), strict=True)]
            lower, upper = self._in_unit([low for low, _ in ends]), self._in_unit([high for _, high in ends])
        return EffectCurve(
            option=option.name,
            unit=option.unit,
            levels=self.coded.levels[factor],
            responses=self._in_unit(estimates),
            lower=lower,
            upper=upper,
            is_binned=self.coded.is_binned[factor],
        )

    def _interval(self, drawn: FloatArray, estimate: float) -> tuple[float, float]:
        """Return the quantiles of the draws, widened where need be to hold the estimate itself."""
        lower, upper = np.quantile(drawn, [self.tail, 1.0 - self.tail])
        return float(min(lower, estimate)), float(max(upper, estimate))

    def _in_unit(self, values: ArrayLike) -> tuple[float, ...]:
        return tuple(map(float, np.exp(values) if self.scale == "log" else np.asarray(values)))


def _formula(
    prop: Property, space: Space, rows: pd.DataFrame, response: FloatArray, *, scale: ResponseScale, seed: int
) -> tuple[str, float]:
    """Return the shortest readable model that follows the predictions, and how much of their variance it explains."""
    some = np.sort(rng_for(seed, "advise", "formula").permutation(len(rows))[:_FORMULA_ROWS])
    part, wanted = rows.iloc[some].reset_index(drop=True), response[some]
    values = np.exp(wanted) if scale == "log" else wanted
    total = float(np.var(wanted))
    if not np.all(values > 0):
        return "no formula: some predictions are not positive", 0.0
    dataset = Dataset(space, Environment("predictions"), {prop.name: prop}, part, {prop.name: values})
    best = ("no formula: the predictions do not vary", 0.0)
    for n_terms, of_scale in product(_FORMULA_TERMS, _SCALES_TRIED[scale]):
        fitted = fit_influence_model(dataset, prop.name, scale=of_scale, selection="forward", max_terms=n_terms)
        predicted = fitted.predict(part)
        if scale == "log":
            predicted = np.log(np.maximum(predicted, np.finfo(np.float64).tiny))
        share = 1.0 - float(np.mean((wanted - predicted) ** 2)) / total if total > 0 else 0.0
        if share > best[1] and fitted.functions:
            best = (fitted.formula(), share)
        if best[1] >= _FORMULA_SHARE:
            break
    return best


def _notes(found: Decomposition, coded: CodedRows) -> tuple[str, ...]:
    notes = []
    n_factors = len(found.factors)
    possible = n_factors * (n_factors - 1) // 2
    if len(found.pairs) < possible:
        notes.append(
            f"interactions: {len(found.pairs)} of {possible} pairs could be told apart, "
            "for the others there are too few configurations"
        )
    left_out = [name for i, name in enumerate(coded.names) if coded.varies[i] and i not in found.factors]
    if left_out:
        notes.append(f"left out, for their levels just number the configurations: {', '.join(left_out)}")
    binned = [name for name, is_binned in zip(coded.names, coded.is_binned, strict=True) if is_binned]
    if binned:
        notes.append(f"cut into {MANY_LEVELS} parts of equal size: {', '.join(binned)}")
    return tuple(notes)


def _on_scale(responses: FloatArray, scale: ResponseScale, prop: Property) -> FloatArray:
    if scale == "linear":
        return responses
    if not np.all(responses > 0):
        raise UsageError(
            f"the model predicts {np.min(responses):.3g} {prop.unit} for some configurations, which has no logarithm; "
            "explain it with scale='linear'",
            property=prop,
        )
    return np.asarray(np.log(responses))


def _check(scale: str, coverage: float, max_rows: int) -> None:
    if scale not in ("log", "linear"):
        raise UsageError(f"unknown scale '{scale}': known are log, linear", scale=scale)
    if not 0 < coverage < 1:
        raise UsageError(f"coverage is {coverage}: it must lie between 0 and 1", coverage=coverage)
    if max_rows < 2:
        raise UsageError(f"max_rows is {max_rows}: it must be at least 2", max_rows=max_rows)
