"""From models, datasets and measurements to the plain data a report shows."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan

import numpy as np
import pandas as pd

from perfport.advise.comparison.compare import compare
from perfport.advise.comparison.result import Comparison as Changes
from perfport.advise.influences.explain import explain
from perfport.advise.influences.explanation import EffectCurve, Explanation
from perfport.advise.recommendation.feasible import allowed_by
from perfport.advise.recommendation.recommend import intervals, recommend
from perfport.advise.recommendation.tradeoff import TradeOff
from perfport.advise.rendering import level_text
from perfport.advise.uncertainty import central_response
from perfport.data.dataset import Dataset
from perfport.data.measurement import GRADES, Measurement, Status
from perfport.data.standing import standing
from perfport.measure.machine.probe import package_version
from perfport.measure.quality.noise import ReplicateError, replicate_error
from perfport.model.base import PerformanceModel
from perfport.model.metrics import errors
from perfport.model.rows import usable_rows
from perfport.report.content import (
    Choice,
    Comparison,
    Effect,
    EnvironmentInfluences,
    ErrorRow,
    Estimate,
    Influence,
    MeasuringSummary,
    Missing,
    Predictions,
    ReportData,
    ReportedEnvironment,
    Reproduction,
    Role,
)
from perfport.space.space import Space
from perfport.transfer.recipe import Recipe
from perfport.transfer.transferred import TransferredModel
from perfport.units import format_quantity

__all__ = [
    "changes_of",
    "compared",
    "influences_of",
    "measuring_summary",
    "predicted_and_measured",
    "replicate_row",
    "report_of",
    "versions",
]

SHOWN_INFLUENCES = 12
SHOWN_CURVES = 6
SHOWN_SHARE = 0.005  # a curve that is flat to the eye says nothing
_PACKAGES = ("perfport", "numpy", "scipy", "scikit-learn", "onnxruntime", "openvino")


def measuring_summary(measurements: Sequence[Measurement], property: str) -> MeasuringSummary:
    """Return how measuring one environment went.

    Args:
        measurements: All of one environment, replicates included; a configuration counts once, with
            the outcome of its first block.
        property: Whose replicate error is meant.
    """
    first = standing([measurement for measurement in measurements if measurement.block == 0])
    noise = replicate_error(measurements, property)
    costs_s = [measurement.cost_s for measurement in measurements if not isnan(measurement.cost_s)]
    return MeasuringSummary(
        outcomes=Counter(measurement.status for measurement in first),
        reasons=Counter(measurement.reason for measurement in first if measurement.status is not Status.OK),
        cost_s=sum(costs_s) if costs_s else None,
        replicate_error_pct=noise.mape_pct if noise.n_pairs else None,
        n_replicated=noise.n_pairs,
        grades=_counted(measurement.grade for measurement in first),
        n_again=sum(measurement.attempt > 0 for measurement in measurements),
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
    name = model.property.name
    parts = [usable_rows(part, name)[0] for part in (fitted, test) if part is not None]
    configurations = pd.concat([part.configurations for part in parts], ignore_index=True)
    lower, upper = model.predict_interval(configurations, coverage=coverage)
    # A single fitted row leaves the error unknown: its limits are 0 and infinity, which no axis can show.
    has_limits = bool(np.all(np.isfinite(upper) & (lower > 0)))
    return Predictions(
        configurations=configurations,
        measured=np.concatenate([part.responses[name] for part in parts]),
        predicted=model.predict(configurations),
        is_fitted=np.arange(len(configurations)) < len(parts[0]),
        lower=lower if has_limits else None,
        upper=upper if has_limits else None,
        coverage=coverage,
    )


def influences_of(models: Sequence[tuple[PerformanceModel, Space, str, Role]]) -> tuple[EnvironmentInfluences, ...]:
    """Return what matters in each environment: shares of the variance of the log response over the space.

    What is strong in one environment is listed for all that have the options, so that they can be compared.

    Args:
        models: Model, its space, name of its environment, its role.
    """
    explained = [explain(model, space) for model, space, _, _ in models]
    strongest: dict[frozenset[str], float] = {}
    for explanation in explained:
        for influence in explanation.influences:
            key = frozenset(influence.options)
            strongest[key] = max(influence.share, strongest.get(key, 0.0))
    shown = sorted(strongest, key=lambda key: -strongest[key])[:SHOWN_INFLUENCES]
    alone = [option for key in shown if len(key) == 1 and strongest[key] >= SHOWN_SHARE for option in key]
    return tuple(
        EnvironmentInfluences(
            environment, role, tuple(_influences(explanation, space, shown)), _curves(explanation, alone[:SHOWN_CURVES])
        )
        for explanation, (_, space, environment, role) in zip(explained, models, strict=True)
    )


def changes_of(source: Dataset, target: Dataset, model: PerformanceModel) -> Changes | Missing:
    """Return what became of the influences of a source.

    Args:
        source: Its rows.
        target: The target rows the model was fitted on.
        model: The transferred model, for the ranks.
    """
    if set(source.space.names) != set(target.space.names):
        return Missing(f"{source.environment.name} has other options than {target.environment.name}")
    return compare(source, target, property=model.property.name, target_model=model)


def _curves(explanation: Explanation, options: Sequence[str]) -> tuple[EffectCurve, ...]:
    known = {curve.option: curve for curve in explanation.curves}
    return tuple(known[option] for option in options if option in known)


def _influences(explanation: Explanation, space: Space, shown: Sequence[frozenset[str]]) -> Iterator[Influence]:
    curves = {curve.option: curve for curve in explanation.curves}
    for influence in explanation.influences:
        if frozenset(influence.options) not in shown:
            continue
        effect: Effect = "mixed"
        detail = ""
        if len(influence.options) == 1:
            curve = curves[influence.options[0]]
            effect = _direction(curve, space.option(curve.option).type != "categorical")
            detail = _detail(curve, explanation.property.unit)
        yield Influence(influence.options, influence.share, effect, detail, influence.lower, influence.upper)


def _direction(curve: EffectCurve, ordered: bool) -> Effect:
    steps = np.diff(curve.responses)
    if not ordered or len(steps) == 0 or (np.any(steps > 0) and np.any(steps < 0)):
        return "mixed"
    return "increases" if steps.sum() > 0 else "decreases"


def _detail(curve: EffectCurve, unit: str) -> str:
    low, high = int(np.argmin(curve.responses)), int(np.argmax(curve.responses))
    first, last = sorted((low, high))
    return (
        f"{level_text(curve.levels[first], curve.unit)} to {level_text(curve.levels[last], curve.unit)}: "
        f"{format_quantity(curve.responses[first], unit)} to {format_quantity(curve.responses[last], unit)}"
    )


def report_of(
    model: TransferredModel,
    recipe: Recipe,
    *,
    test: Dataset | None = None,
    choice: Choice | None = None,
    trade_off: TradeOff | None = None,
) -> ReportData:
    """Return the report of a model by itself: what it was made from, what it predicts, what it recommends.

    Args:
        model: What `transfer` returned or `load_model` read.
        recipe: What it was made from.
        test: Usable target rows the model has not seen, to check it on.
        choice: The verified recommendation; if None, the knee of the trade-off or the predicted best configuration,
            unverified.
        trade_off: What is on offer for a goal, which the model's property may be part of.
    """
    target, name = recipe.target, recipe.property
    sources = [ReportedEnvironment(source.environment, "source", _summary_of(source)) for source in recipe.sources]
    n_target = len(usable_rows(target, name)[0])
    if test is None:
        comparison: Comparison | Missing = Missing("no target rows were given beyond those the model was fitted on")
    else:
        strategy = recipe.strategy if isinstance(recipe.strategy, str) else type(recipe.strategy).__name__
        comparison = compared(
            {strategy: model},
            test,
            name,
            chosen=strategy,
            n_target=n_target,
            replicate=Missing("replicates are not part of a dataset"),
        )
    return ReportData(
        title=f"{', '.join(source.environment.name for source in recipe.sources) or 'no source'} to "
        f"{target.environment.name}",
        created=datetime.now(UTC),
        property=model.property,
        options=target.space.options,
        environments=(*sources, ReportedEnvironment(target.environment, "target", _summary_of(target))),
        comparison=comparison,
        predictions=predicted_and_measured(model, target, test),
        influences=influences_of([(model, target.space, target.environment.name, "target")]),
        changes=changes_of(recipe.sources[0], target, model) if recipe.sources else Missing("there is no source"),
        trade_off=trade_off,
        recommendation=choice or _predicted_choice(model, target, trade_off),
        verdict=model.verdict,
        reproduction=Reproduction(_command(recipe), recipe.seed, versions()),
    )


def versions() -> dict[str, str]:
    """Return package -> version for what decides the numbers of a report."""
    found = {name: package_version(name) for name in _PACKAGES}
    return {name: version for name, version in found.items() if version}


def _command(recipe: Recipe) -> str:
    sources = [word for source in recipe.sources for word in ("--source", source.environment.name)]
    strategy = ["--strategy", recipe.strategy] if isinstance(recipe.strategy, str) else []
    renamed = [word for pair in (recipe.rename or {}).items() for word in ("--rename", "=".join(pair))]
    target = ["--target", recipe.target.environment.name, "--property", recipe.property]
    rest = ["--budget", str(len(recipe.target)), *strategy, "--seed", str(recipe.seed), *renamed]
    return shlex.join(["perfport", "transfer", *sources, *target, *rest])


def _predicted_choice(model: TransferredModel, target: Dataset, trade_off: TradeOff | None) -> Choice:
    space = target.space
    if trade_off is None:
        best = recommend(model, candidates=space, n=1, allowed=allowed_by(target))[0]
        configuration, predicted = best.configuration, Estimate(best.predicted, best.lower, best.upper)
    else:
        configuration = trade_off.knee.configuration
        frame = space.frame([configuration])
        (lower,), (upper,) = intervals(model, frame, 0.9)
        predicted = Estimate(float(central_response(model, frame)[0]), lower, upper)
    return Choice(configuration=configuration, default=space.default_configuration(), predicted=predicted)


def _summary_of(dataset: Dataset) -> MeasuringSummary:
    costs_s = dataset.cost_s[np.isfinite(dataset.cost_s)]
    outcomes = Counter(Status(str(status)) for status in dataset.status)
    notes = dataset.notes
    grades = _counted(notes["grade"]) if notes is not None and "grade" in notes else {}
    return MeasuringSummary(outcomes, cost_s=float(costs_s.sum()) if len(costs_s) else None, grades=grades)


def _counted(grades: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(grade for grade in grades if grade in GRADES).items()))
