"""From models, datasets and measurements to the plain data a report shows."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from perfport.advise.explain import explain
from perfport.advise.explanation import EffectCurve
from perfport.data.dataset import Dataset
from perfport.data.measurement import Measurement, Status
from perfport.measure.noise import ReplicateError, replicate_error
from perfport.model.base import PerformanceModel
from perfport.model.metrics import errors
from perfport.report.content import (
    Comparison,
    Effect,
    EnvironmentInfluences,
    ErrorRow,
    Influence,
    MeasuringSummary,
    Missing,
    Predictions,
    Role,
)
from perfport.space.space import Space
from perfport.transfer.transferred import TransferredModel
from perfport.units import format_quantity

__all__ = ["compared", "influences_of", "measuring_summary", "predicted_and_measured", "replicate_row"]

SHOWN_INFLUENCES = 12


def measuring_summary(measurements: Sequence[Measurement], property: str) -> MeasuringSummary:
    """Return how measuring one environment went.

    Args:
        measurements: All of one environment, replicates included; a configuration counts once, with
            the outcome of its first block.
        property: Whose replicate error is meant.
    """
    first = [measurement for measurement in measurements if measurement.block == 0]
    noise = replicate_error(measurements, property)
    return MeasuringSummary(
        outcomes=Counter(measurement.status for measurement in first),
        reasons=Counter(measurement.reason for measurement in first if measurement.status is not Status.OK),
        cost_s=sum(measurement.cost_s for measurement in measurements),
        replicate_error_pct=noise.mape_pct if noise.n_pairs else None,
        n_replicated=noise.n_pairs,
    )


def replicate_row(noise: ReplicateError) -> ErrorRow | Missing:
    """Return the noise floor as a row beside the errors of the strategies."""
    if noise.n_pairs == 0:
        return Missing("no configuration was measured twice")
    return ErrorRow("measured again", noise.mape_pct, noise.median_pct, None, noise.n_pairs)


def compared(
    models: Mapping[str, PerformanceModel],
    test: Dataset,
    property: str,
    *,
    chosen: str,
    n_target: int,
    replicate: ErrorRow | Missing,
) -> Comparison:
    """Return the errors of several models on the same rows, best first.

    Args:
        models: Strategy -> model; none has seen a row of `test`.
        test: Measured target rows, all usable.
        property: What is predicted.
        chosen: Strategy the recommendation rests on.
        n_target: Target rows each model was fitted on.
        replicate: The noise floor.
    """
    measured = test.responses[property]
    found = {name: errors(measured, model.predict(test.configurations)) for name, model in models.items()}
    rows = [
        ErrorRow(name, error.mape_pct, error.median_ape_pct, error.spearman, len(test))
        for name, error in sorted(found.items(), key=lambda item: item[1].mape_pct)
    ]
    return Comparison(tuple(rows), chosen, n_target, replicate)


def predicted_and_measured(
    model: TransferredModel, fitted: Dataset, test: Dataset | None, *, coverage: float = 0.9
) -> Predictions:
    """Return predictions and measurements of the fitted rows and, if given, of those the model never saw."""
    both = fitted if test is None else fitted.concat(test)
    name = model.property.name
    usable = np.isfinite(both.responses[name]) & (both.responses[name] > 0)
    is_fitted = (np.arange(len(both)) < len(fitted))[usable]
    shown = both.take(usable)
    lower, upper = model.predict_interval(shown.configurations, coverage=coverage)
    # A single fitted row leaves the error unknown: its limits are 0 and infinity, which no axis can show.
    has_limits = bool(np.all(np.isfinite(upper) & (lower > 0)))
    return Predictions(
        configurations=shown.configurations,
        measured=shown.responses[name],
        predicted=model.predict(shown.configurations),
        is_fitted=is_fitted,
        lower=lower if has_limits else None,
        upper=upper if has_limits else None,
        coverage=coverage,
    )


def influences_of(model: PerformanceModel, space: Space, environment: str, role: Role) -> EnvironmentInfluences:
    """Return the strongest influences of a model: shares of the variance of the log response over the space."""
    explanation = explain(model, space)
    unit = explanation.property.unit
    curves = {curve.option: curve for curve in explanation.curves}
    shown = []
    for influence in explanation.influences[:SHOWN_INFLUENCES]:
        if len(influence.options) == 1:
            curve = curves[influence.options[0]]
            ordered = space.option(curve.option).type != "categorical"
            shown.append(
                Influence(influence.options, influence.share, _direction(curve, ordered), _detail(curve, unit))
            )
        else:
            shown.append(Influence(influence.options, influence.share))
    return EnvironmentInfluences(environment, role, tuple(shown))


def _direction(curve: EffectCurve, ordered: bool) -> Effect:
    steps = np.diff(curve.responses)
    if not ordered or len(steps) == 0 or (np.any(steps > 0) and np.any(steps < 0)):
        return "mixed"
    return "increases" if steps.sum() > 0 else "decreases"


def _detail(curve: EffectCurve, unit: str) -> str:
    low, high = int(np.argmin(curve.responses)), int(np.argmax(curve.responses))
    first, last = sorted((low, high))
    return (
        f"{curve.levels[first]} to {curve.levels[last]}: "
        f"{format_quantity(curve.responses[first], unit)} to {format_quantity(curve.responses[last], unit)}"
    )
