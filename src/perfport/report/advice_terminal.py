"""Explanations and comparisons for the terminal, as rich tables that fit 80 columns.

Texts given by users are printed as they are: never read as markup.
"""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from perfport.advise.comparison.result import Comparison, InfluenceChange, Kind, RankChange
from perfport.advise.influences.explanation import EffectCurve, Explanation, Influence
from perfport.advise.rendering import level_text, setting_text
from perfport.report.advice_figures import change_text
from perfport.report.comparison_page import comparison_headline
from perfport.report.terminal import plain, simple_table
from perfport.report.wording import format_factor, format_pct, format_share, property_label
from perfport.units import format_quantity

__all__ = ["show_changes", "show_explanation"]

_KIND_STYLES: Mapping[Kind, str] = {
    "stays": "green",
    "scales": "yellow",
    "flips": "red",
    "reshapes": "magenta",
    "vanishes": "dim",
    "appears": "cyan",
}
_SHOWN_SHARE = 0.005
_SHOWN_RANKS = 5
_BAR = 20
_MOST_LEVELS = 8


def show_explanation(explanation: Explanation) -> RenderableType:
    """Return shares with intervals, what the levels of the strongest options do, and the formula."""
    which = "all" if explanation.is_exact else "a sample of"
    label = property_label(explanation.property)
    shares = simple_table(f"What moves the {label}: {which} {explanation.n_configurations} configurations")
    shares.add_column("Option or pair", overflow="fold")
    shares.add_column("Share", justify="right")
    shares.add_column("Interval")
    shares.add_column("", width=_BAR)
    shown = [influence for influence in explanation.influences if influence.share >= _SHOWN_SHARE]
    for influence in shown:
        interval = _interval(influence)
        shares.add_row(
            plain(influence.name), format_share(influence.share), interval, "█" * round(_BAR * influence.share)
        )
    parts: list[RenderableType] = [shares]
    if len(shown) < len(explanation.influences):
        parts.append(
            plain(f"Below {format_share(_SHOWN_SHARE)} each: {len(explanation.influences) - len(shown)} more.")
        )
    strong = [explanation.curve(influence.options[0]) for influence in shown if len(influence.options) == 1]
    if strong:
        parts.append(_levels(strong, explanation))
    parts.append(plain(f"{explanation.formula}  (explains {format_share(explanation.formula_share)})"))
    parts += [plain(text) for text in (_origin(explanation), *explanation.notes)]
    return Group(*parts)


def _interval(influence: Influence) -> str:
    if influence.lower is None or influence.upper is None:
        return "not known"
    return f"{format_share(influence.lower)} to {format_share(influence.upper)}"


def _levels(curves: Sequence[EffectCurve], explanation: Explanation) -> RenderableType:
    levels = simple_table("What each level does, everything else averaged")
    levels.add_column("Option", overflow="fold")
    levels.add_column("Levels", overflow="fold")
    for curve in curves:
        n = len(curve.levels)
        # Of a long range some levels, the ends among them, show the course.
        some = sorted({round(step * (n - 1) / (_MOST_LEVELS - 1)) for step in range(_MOST_LEVELS)})
        rows = range(n) if n <= _MOST_LEVELS else some
        texts = [
            f"{level_text(curve.levels[row], curve.unit)}: {_solid(curve.responses[row], explanation)}" for row in rows
        ]
        levels.add_row(plain(curve.option), plain(", ".join(texts)))
    return levels


def _solid(response: float, explanation: Explanation) -> str:
    """A quantity that does not break between number and unit."""
    return format_quantity(response, explanation.property.unit).replace(" ", "\N{NO-BREAK SPACE}")


def _origin(explanation: Explanation) -> str:
    if explanation.influences and explanation.influences[0].lower is None:
        return f"No intervals: {explanation.interval_origin}."
    return f"{explanation.coverage:.0%} intervals from {explanation.interval_origin}."


def show_changes(comparison: Comparison) -> RenderableType:
    """Return what became of each influence, and which configurations moved."""
    changes = simple_table(
        f"{property_label(comparison.property).capitalize()}: {comparison.source} to {comparison.target}"
    )
    changes.add_column("Option or pair", overflow="fold", ratio=3)
    changes.add_column("What became of it", overflow="fold", ratio=3)
    changes.add_column("Was", justify="right")
    changes.add_column("Is", justify="right")
    changes.add_column("Sure", justify="right")
    for change in comparison.influences:
        changes.add_row(
            plain(change.name),
            Text(change_text(change), style=_KIND_STYLES[change.kind]),
            format_pct(change.source_pct),
            format_pct(change.target_pct),
            _sure(change),
        )
    parts: list[RenderableType] = [changes] if comparison.influences else []
    parts.append(plain(comparison_headline(comparison)))
    parts.append(
        plain(
            f"Typically {format_factor(comparison.median_ratio)} the {property_label(comparison.property)}; rank "
            f"correlation {comparison.rank_correlation:.2f} over {comparison.n_configurations} configurations."
        )
    )
    if comparison.ranks:
        parts.append(_ranks(comparison.ranks[:_SHOWN_RANKS]))
    parts += [plain(f"Intervals from {comparison.interval_origin}."), *map(plain, comparison.notes)]
    return Group(*parts)


def _sure(change: InfluenceChange) -> str:
    return "–" if change.target_interval_pct is None else f"{change.probability:.0%}"


def _ranks(ranks: Sequence[RankChange]) -> RenderableType:
    """Levels that all of them have are said once."""
    first = ranks[0].configuration
    common = [name for name in first if len({level_text(moved.configuration[name]) for moved in ranks}) == 1]
    moves = simple_table("Configurations whose rank changed most")
    moves.add_column("Was", justify="right")
    moves.add_column("Is", justify="right")
    moves.add_column("Configuration", overflow="fold")
    for moved in ranks:
        own = [setting_text(name, level) for name, level in moved.configuration.items() if name not in common]
        moves.add_row(str(moved.source_rank), str(moved.target_rank), plain(", ".join(own) or "the only one"))
    said = ", ".join(setting_text(name, first[name]) for name in common)
    return Group(moves, plain(f"In all of them: {said}.")) if common else moves
