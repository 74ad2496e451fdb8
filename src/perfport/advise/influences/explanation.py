"""What an explanation is: influences with their shares, effect curves, a formula; plain and frozen."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from perfport.advise.rendering import html_block, level_text
from perfport.data.measurement import Property
from perfport.errors import UsageError
from perfport.model.influence import ResponseScale
from perfport.space.options import Level
from perfport.units import format_quantity

__all__ = ["EffectCurve", "Explanation", "Influence"]

_SHOWN_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Influence:
    """How much of the variance one option, or one pair of options, carries.

    Attributes:
        options: One name for a main effect, two for an interaction.
        share: Of the variance of the response on the scale of the explanation, 0 to 1.
        lower: Lower end of its interval; None if the model cannot say.
        upper: Upper end.
        spread: Standard deviation of this influence over the configurations: a typical factor on the log
            scale (1.2 for "20 % up or down"), in the unit of the property on the linear scale.
    """

    options: tuple[str, ...]
    share: float
    lower: float | None
    upper: float | None
    spread: float

    @property
    def name(self) -> str:
        """The options, joined by a multiplication sign."""
        return " × ".join(self.options)


@dataclass(frozen=True, slots=True)
class EffectCurve:
    """The typical response at each level of one option, everything else averaged.

    Attributes:
        option: Its name.
        unit: Unit of the levels.
        levels: In the order of the option. Where `is_binned`, the median level of each part of the range.
        responses: Typical response at each level, in the unit of the property: the average over the other
            options (geometric on the log scale), the dependence that constraints make taken out.
        lower: Lower end of the interval of each; None if the model cannot say.
        upper: Upper end.
        is_binned: Whether the levels stand for parts of a range.
    """

    option: str
    unit: str
    levels: tuple[Level, ...]
    responses: tuple[float, ...]
    lower: tuple[float, ...] | None
    upper: tuple[float, ...] | None
    is_binned: bool

    @property
    def ratio(self) -> float:
        """Largest over smallest response."""
        return max(self.responses) / min(self.responses)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which options matter, how much, and in which direction.

    Attributes:
        property: What is explained.
        scale: "log" (influences are factors) or "linear" (influences are differences).
        influences: Main effects and interactions, largest share first.
        remainder: Share of the variance in interactions of three and more options.
        curves: One an option that varies, in the order of the space.
        formula: A performance-influence model of the predictions, as text.
        formula_share: Share of the variance the formula explains.
        n_configurations: Rows it was computed from.
        is_exact: Whether these are all valid configurations.
        coverage: Probability the intervals aim at.
        interval_origin: Where the intervals come from, or why there are none.
        notes: What was left out.
    """

    property: Property
    scale: ResponseScale
    influences: tuple[Influence, ...]
    remainder: float
    curves: tuple[EffectCurve, ...]
    formula: str
    formula_share: float
    n_configurations: int
    is_exact: bool
    coverage: float
    interval_origin: str
    notes: tuple[str, ...] = ()

    def share(self, *options: str) -> float:
        """Return the share of one option, or of the interaction of two in any order.

        Raises:
            UsageError: If no such influence was computed.
        """
        wanted = frozenset(options)
        for influence in self.influences:
            if frozenset(influence.options) == wanted:
                return influence.share
        known = ", ".join(curve.option for curve in self.curves)
        raise UsageError(f"no influence of {' × '.join(options)} was computed; the options that vary are {known}")

    def curve(self, option: str) -> EffectCurve:
        """Return the effect curve of one option.

        Raises:
            UsageError: If the option does not exist or does not vary.
        """
        for curve in self.curves:
            if curve.option == option:
                return curve
        known = ", ".join(curve.option for curve in self.curves)
        raise UsageError(f"no effect of '{option}' was computed; the options that vary are {known}")

    def table(self) -> pd.DataFrame:
        """Return one row an influence: influence, order, share, lower, upper, spread."""
        return pd.DataFrame(
            {
                "influence": [influence.name for influence in self.influences],
                "order": [len(influence.options) for influence in self.influences],
                "share": [influence.share for influence in self.influences],
                "lower": [_number(influence.lower) for influence in self.influences],
                "upper": [_number(influence.upper) for influence in self.influences],
                "spread": [influence.spread for influence in self.influences],
            }
        )

    def effects(self) -> pd.DataFrame:
        """Return one row an option and level: option, level, response, lower, upper."""
        rows = [
            (curve.option, level, response, lower, upper)
            for curve in self.curves
            for level, response, lower, upper in zip(
                curve.levels,
                curve.responses,
                curve.lower or itertools.repeat(np.nan),
                curve.upper or itertools.repeat(np.nan),
                strict=False,
            )
        ]
        return pd.DataFrame(rows, columns=["option", "level", self.property.name, "lower", "upper"])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        which = "all" if self.is_exact else "a sample of"
        lines = [f"{self.property.name}, {self.scale} scale: {which} {self.n_configurations} configurations"]
        shown = [influence for influence in self.influences if influence.share >= _SHOWN_SHARE]
        lines += [f"  {self._line(influence)}" for influence in shown]
        if len(shown) < len(self.influences):
            lines.append(f"  below {_SHOWN_SHARE:.1%} each: {len(self.influences) - len(shown)} more")
        lines.append(f"  {self.remainder:.1%} interactions of three and more options")
        if self.influences and self.influences[0].lower is None:
            lines.append(f"  no intervals: {self.interval_origin}")
        else:
            lines.append(f"  {self.coverage:.0%} intervals from {self.interval_origin}")
        return "\n".join([*lines, f"  {self.formula} (explains {self.formula_share:.0%})", *self.notes])

    def _line(self, influence: Influence) -> str:
        text = f"{influence.share:.1%} {influence.name}"
        if influence.lower is not None and influence.upper is not None:
            text += f" ({influence.lower:.1%} to {influence.upper:.1%})"
        if len(influence.options) > 1:
            return text
        curve, unit = self.curve(influence.options[0]), self.property.unit
        low, high = int(np.argmin(curve.responses)), int(np.argmax(curve.responses))
        ends = [
            f"{level_text(curve.levels[i], curve.unit)}: {format_quantity(curve.responses[i], unit)}"
            for i in sorted((low, high))
        ]
        return f"{text}: {' ... '.join(ends)}"

    def _repr_html_(self) -> str:
        return html_block(str(self).splitlines()[0] + "; " + self.formula, self.table().head(20), self.effects())


def _number(value: float | None) -> float:
    return np.nan if value is None else value
