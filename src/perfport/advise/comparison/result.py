"""What a comparison of two environments is: what became of every influence, and which configurations moved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from perfport.advise.rendering import html_block, setting_text
from perfport.data.measurement import Property
from perfport.space.options import Level

__all__ = ["KINDS", "Comparison", "InfluenceChange", "Kind", "RankChange"]

Kind = Literal["stays", "scales", "flips", "reshapes", "vanishes", "appears"]
KINDS: tuple[Kind, ...] = ("stays", "scales", "flips", "reshapes", "vanishes", "appears")


@dataclass(frozen=True, slots=True)
class InfluenceChange:
    """What became of one influence.

    Attributes:
        options: One name for a main effect, two for an interaction.
        kind: "stays" (the same within the tolerance), "scales" (the same pattern, weaker or stronger),
            "flips" (the opposite pattern), "reshapes" (matters in both, but other levels do), "vanishes",
            "appears".
        probability: Of `kind`; 1 where the models do not say what they are unsure of.
        factor: Influence in the target over influence in the source, on the log scale: 1 stays, 0 vanishes,
            negative flips; None where it appears.
        lower: Lower end of the interval of `factor`; None where there is none.
        upper: Upper end.
        source_pct: How much the influence typically moves the property in the source, in percent.
        target_pct: The same in the target.
        target_interval_pct: Interval of `target_pct`; None where there is none.
    """

    options: tuple[str, ...]
    kind: Kind
    probability: float
    factor: float | None
    lower: float | None
    upper: float | None
    source_pct: float
    target_pct: float
    target_interval_pct: tuple[float, float] | None

    @property
    def name(self) -> str:
        """The options, joined by a multiplication sign."""
        return " × ".join(self.options)

    def __str__(self) -> str:
        sizes = f"{self.source_pct:.3g} % to {self.target_pct:.3g} %"
        if self.kind in ("scales", "flips") and self.factor is not None:
            sizes = f"×{self.factor:.2f}" + ("" if self.lower is None else f" ({self.lower:.2f} to {self.upper:.2f})")
        certainty = "" if self.lower is None and self.target_interval_pct is None else f", {self.probability:.0%} sure"
        return f"{self.name} {self.kind}: {sizes}{certainty}"


@dataclass(frozen=True, slots=True)
class RankChange:
    """A configuration that does better or worse among the others than it used to.

    Attributes:
        configuration: Option -> level; None for an inactive option.
        source_rank: 1 for the best in the source.
        target_rank: 1 for the best in the target.
        source_response: Predicted there, in the unit of the property.
        target_response: Likewise.
    """

    configuration: Mapping[str, Level | None]
    source_rank: int
    target_rank: int
    source_response: float
    target_response: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two environments (or two versions), influence by influence.

    Attributes:
        property: What was compared.
        source: Name of the first environment.
        target: Name of the second.
        influences: Those that matter in at least one of the two, largest first.
        ranks: Configurations whose rank changed most, largest change first.
        rank_correlation: Spearman's, over all configurations looked at.
        median_ratio: Median of target over source response.
        n_configurations: How many were looked at.
        n_target_rows: Measured target rows it rests on; None if it compares two models.
        noise_pct: Noise found in those rows (measuring noise and what the influences do not explain).
        smallest_effect_pct: An influence that moves the property by less is none.
        tolerance: A factor within 1 - this and 1 + this stays.
        coverage: Probability the intervals aim at.
        interval_origin: Where the intervals come from, or why there are none.
        notes: What was left out.
    """

    property: Property
    source: str
    target: str
    influences: tuple[InfluenceChange, ...]
    ranks: tuple[RankChange, ...]
    rank_correlation: float
    median_ratio: float
    n_configurations: int
    n_target_rows: int | None
    noise_pct: float | None
    smallest_effect_pct: float
    tolerance: float
    coverage: float
    interval_origin: str
    notes: tuple[str, ...] = ()

    def of_kind(self, *kinds: Kind) -> tuple[InfluenceChange, ...]:
        """Return the influences of the given kinds."""
        return tuple(change for change in self.influences if change.kind in kinds)

    def change(self, *options: str) -> InfluenceChange | None:
        """Return what became of one influence; None if it matters in neither environment."""
        wanted = frozenset(options)
        return next((change for change in self.influences if frozenset(change.options) == wanted), None)

    def table(self) -> pd.DataFrame:
        """Return one row an influence."""
        return pd.DataFrame(
            [
                {
                    "influence": change.name,
                    "kind": change.kind,
                    "probability": change.probability,
                    "factor": change.factor,
                    "lower": change.lower,
                    "upper": change.upper,
                    "source_pct": change.source_pct,
                    "target_pct": change.target_pct,
                }
                for change in self.influences
            ],
            columns=["influence", "kind", "probability", "factor", "lower", "upper", "source_pct", "target_pct"],
        ).astype({"factor": float, "lower": float, "upper": float})

    def rank_table(self) -> pd.DataFrame:
        """Return one row a configuration whose rank changed much: its options, ranks and responses."""
        return pd.DataFrame(
            [
                dict(moved.configuration)
                | {
                    "source_rank": moved.source_rank,
                    "target_rank": moved.target_rank,
                    "source_response": moved.source_response,
                    "target_response": moved.target_response,
                }
                for moved in self.ranks
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.property.name}, '{self.source}' to '{self.target}': "
            f"median ×{self.median_ratio:.3g}, rank correlation {self.rank_correlation:.2f}"
        ]
        for kind in KINDS:
            lines += [f"  {change}" for change in self.of_kind(kind)]
        if not self.influences:
            lines.append("  no option has an influence")
        for moved in self.ranks[:3]:
            settings = ", ".join(setting_text(name, level) for name, level in moved.configuration.items())
            lines.append(f"  rank {moved.source_rank} to {moved.target_rank}: {settings}")
        lines.append(f"  intervals: {self.interval_origin}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_block(str(self).splitlines()[0], self.table(), self.rank_table())
