"""What a report says, as plain frozen data: filled by the doors, shown by `page` and `terminal`.

Nothing here is computed from measurements and nothing is looked up: a report can be made at any
moment from what is there. A part that is not there is a `Missing` with its reason, which the reader
then sees in the place of the part.

Example:
    >>> from datetime import UTC, datetime
    >>> from perfport.data.measurement import Property
    >>> report = ReportData("A new board", datetime(2026, 1, 31, tzinfo=UTC), Property("inference_time_s", "s"))
    >>> report.recommendation
    Missing(reason='no configuration was recommended')
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.comparison.result import Comparison as Changes
from perfport.advise.influences.explanation import EffectCurve
from perfport.advise.recommendation.tradeoff import Offer, TradeOff
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property, Status
from perfport.errors import UsageError
from perfport.space.options import Level, Option
from perfport.transfer.verdict import Verdict

__all__ = [
    "Choice",
    "Comparison",
    "Effect",
    "EnvironmentInfluences",
    "ErrorRow",
    "Estimate",
    "Influence",
    "LearningCurve",
    "MeasuringSummary",
    "Missing",
    "Predictions",
    "ReportData",
    "ReportedEnvironment",
    "Reproduction",
    "Role",
    "VerifiedOffer",
]

Role = Literal["source", "target"]
Effect = Literal["increases", "decreases", "mixed"]


@dataclass(frozen=True, slots=True)
class Missing:
    """A part the report leaves out.

    Attributes:
        reason: Why, as a clause without a capital and without a full stop ("the target was not measured").
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number in the unit of the property, with its interval where one is known."""

    value: float
    lower: float | None = None
    upper: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """(lower, upper), or None where either is unknown."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class MeasuringSummary:
    """How measuring one environment went.

    Attributes:
        outcomes: Status -> number of configurations that ended so; every row counts, not only the good ones.
        reasons: Why rows are not OK -> how many.
        cost_s: Wall time spent measuring, in seconds; None if not known.
        replicate_error_pct: Mean absolute difference between two measurements of one configuration,
            in percent: the noise floor no model can go below. None if nothing was measured twice.
        n_replicated: Configurations that were measured more than once.
        grades: Grade of trust (A to D) -> rows; empty if nobody graded them.
        n_again: Measurements made again because an earlier one was too disturbed.
    """

    outcomes: Mapping[Status, int]
    reasons: Mapping[str, int] = field(default_factory=dict)
    cost_s: float | None = None
    replicate_error_pct: float | None = None
    n_replicated: int = 0
    grades: Mapping[str, int] = field(default_factory=dict)
    n_again: int = 0

    @property
    def n_rows(self) -> int:
        """Configurations tried, whatever came of them."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class ReportedEnvironment:
    """One environment of the transfer and how measuring it went."""

    environment: Environment
    role: Role
    measuring: MeasuringSummary | Missing = Missing("how it was measured is not recorded")


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Prediction errors of one strategy, or the differences between two measurements.

    Attributes:
        name: Of the strategy ("auto"), or what was compared ("measured again").
        mape_pct: Mean absolute percentage error, in percent.
        median_ape_pct: Median absolute percentage error, in percent.
        spearman: Rank correlation with the measured responses; None where undefined.
        n_rows: Rows the errors are over, none of which the model was fitted on.
    """

    name: str
    mape_pct: float
    median_ape_pct: float
    spearman: float | None
    n_rows: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Strategies on the same rows.

    Attributes:
        rows: One a strategy, in the order to be shown.
        chosen: Name of the strategy the recommendation rests on.
        n_target: Target rows each strategy was fitted on.
        replicate: The same errors between two measurements of the same configurations: what a perfect
            model would still show.
    """

    rows: tuple[ErrorRow, ...]
    chosen: str
    n_target: int
    replicate: ErrorRow | Missing = Missing("no configuration was measured twice")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted and measured responses of the same target configurations.

    Attributes:
        configurations: One row a configuration, columns = options, m rows.
        measured: Measured responses, shape (m,), positive and finite (drop failed rows first).
        predicted: Predicted responses, shape (m,), likewise.
        is_fitted: Rows the model was fitted on, shape (m,); they count in no error.
        lower: Lower ends of the predictive intervals, shape (m,); None without intervals.
        upper: Upper ends, shape (m,); None without intervals.
        coverage: Share of measurements the intervals are meant to contain.

    Raises:
        UsageError: If shapes differ or a number is not positive and finite.
    """

    configurations: pd.DataFrame
    measured: FloatArray
    predicted: FloatArray
    is_fitted: NDArray[np.bool_]
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    coverage: float = 0.9

    def __post_init__(self) -> None:
        if (self.lower is None) != (self.upper is None):
            raise UsageError("predictions have one end of the intervals only: give both lower and upper, or neither")
        n_rows = len(self.configurations)
        for name in ("measured", "predicted", "is_fitted", "lower", "upper"):
            array = getattr(self, name)
            if array is None:
                continue
            # A copy: a report must not change with the arrays it was made from.
            array = np.array(array, dtype=bool if name == "is_fitted" else float)
            if array.shape != (n_rows,):
                raise UsageError(
                    f"predictions: '{name}' has shape {array.shape}, expected ({n_rows},), one a configuration"
                )
            if name != "is_fitted" and not np.all(np.isfinite(array) & (array > 0)):
                raise UsageError(
                    f"predictions: '{name}' has numbers that are not positive and finite; drop failed rows first"
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def share_inside(self) -> float | None:
        """Share of the rows the model was not fitted on whose measured response lies in its interval."""
        if self.lower is None or self.upper is None or bool(self.is_fitted.all()):
            return None
        inside = (self.lower <= self.measured) & (self.measured <= self.upper)
        return float(inside[~self.is_fitted].mean())


@dataclass(frozen=True, slots=True)
class Influence:
    """How much one option, or a pair of options together, moves the property.

    Attributes:
        options: One name for a main effect, two for an interaction.
        share: Share of the variance of the log response it explains, 0 to 1.
        effect: Whether the property increases or decreases as the level rises (off to on for a boolean);
            "mixed" for unordered levels, effects that turn, and interactions.
        detail: What moves, for people ("1 to 2: 22.4 ms to 12.1 ms"); may be empty.
        lower: Lower end of the interval of the share; None if it is not known.
        upper: Upper end.
    """

    options: tuple[str, ...]
    share: float
    effect: Effect = "mixed"
    detail: str = ""
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentInfluences:
    """The influences in one environment, in any order.

    Attributes:
        environment: Its name.
        role: Source or target.
        influences: Of single options and of pairs.
        curves: What each level of the strongest options does, strongest first.
    """

    environment: str
    role: Role
    influences: tuple[Influence, ...]
    curves: tuple[EffectCurve, ...] = ()


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Error of one strategy against its budget; `n_target` and `mape_pct` have equal length."""

    strategy: str
    n_target: tuple[int, ...]
    mape_pct: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The recommended configuration beside the default one.

    Attributes:
        configuration: Option -> recommended level; None for an inactive option.
        default: The default configuration.
        predicted: Predicted response of the recommended configuration, with its interval.
        coverage: Coverage of that interval.
        verified: What measuring it gave, with the interval of repeated measurements.
        default_measured: What measuring the default gave, side by side with `verified`.
        gain: How many times better the recommended configuration measured than the default, with its
            interval; from the two measurements themselves if None.
        n_candidates: Configurations the choice was made from; None if they are not counted.
    """

    configuration: Mapping[str, Level | None]
    default: Mapping[str, Level | None]
    predicted: Estimate
    coverage: float = 0.9
    verified: Estimate | Missing = Missing("the recommended configuration was not measured")
    default_measured: Estimate | Missing = Missing("the default configuration was not measured")
    gain: Estimate | None = None
    n_candidates: int | None = None


@dataclass(frozen=True, slots=True)
class VerifiedOffer:
    """One offer of a trade-off, measured beside the default.

    Attributes:
        offer: What was promised.
        measured: Property -> median over rounds, with their range; or why there is none.
        default: Likewise, of the default configuration.
        gains: Objective -> how many times better than the default, with its interval; None if it is not known.
        keeps_limits: Whether the medians keep all limits; None without limits, or if one was not measured.
    """

    offer: Offer
    measured: Mapping[str, Estimate | Missing]
    default: Mapping[str, Estimate | Missing]
    gains: Mapping[str, Estimate | None]
    keeps_limits: bool | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How to make the same report again.

    Attributes:
        command: Command line, ready to be copied.
        seed: The seed all choices follow from.
        versions: Package or system -> version.
        store: Where the measurements are kept; empty if they are not.
    """

    command: str
    seed: int
    versions: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report can say. Parts that are not given are left out, with the reason in their place.

    Attributes:
        title: For the head of the page.
        created: When, with a time zone.
        property: What was predicted and recommended for.
        options: Options of the target space, in order: units and descriptions of what is shown.
        environments: Sources first, then the target.
        absent: Property -> why it was not measured here ("energy_j" -> "no readable RAPL counter").
        comparison: Strategies beside the noise floor.
        predictions: Predicted against measured responses in the target.
        influences: One entry an environment, to be shown side by side.
        changes: What became of the influences of a source in the target.
        learning_curves: Error against budget; shown only if given.
        trade_off: What is on offer for a goal, or where several properties count; shown only if given.
        recommendation: The answer; with a trade-off its knee.
        verdict: How far the sources helped.
        reproduction: How to make it again.
    """

    title: str
    created: datetime
    property: Property
    options: tuple[Option, ...] = ()
    environments: tuple[ReportedEnvironment, ...] | Missing = Missing("no environment was given")
    absent: Mapping[str, str] = field(default_factory=dict)
    comparison: Comparison | Missing = Missing("no target rows were measured beyond those the model was fitted on")
    predictions: Predictions | Missing = Missing("no measured target rows to compare predictions with")
    influences: tuple[EnvironmentInfluences, ...] | Missing = Missing("the model does not tell its influences apart")
    changes: Changes | Missing = Missing("no source was compared with the target")
    learning_curves: tuple[LearningCurve, ...] = ()
    trade_off: TradeOff | None = None
    recommendation: Choice | Missing = Missing("no configuration was recommended")
    verdict: Verdict | Missing = Missing("no sources were transferred")
    reproduction: Reproduction | Missing = Missing("the command that made this report is not recorded")

    def noise_floor_pct(self) -> float | None:
        """Return the replicate error in the target, in percent; None if nothing was measured twice."""
        if not isinstance(self.comparison, Missing) and not isinstance(self.comparison.replicate, Missing):
            return self.comparison.replicate.mape_pct
        if isinstance(self.environments, Missing):
            return None
        for given in self.environments:
            if given.role == "target" and not isinstance(given.measuring, Missing):
                return given.measuring.replicate_error_pct
        return None
