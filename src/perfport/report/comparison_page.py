"""The page of a comparison: what became of every influence, at a glance and in numbers, and what moved.

Example:
    >>> write_comparison_page(compare(source, target, property=name), "changes.html")  # doctest: +SKIP
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from perfport.advise.comparison.result import KINDS, Comparison, InfluenceChange
from perfport.advise.rendering import level_text
from perfport.report.advice_figures import change_text, draw_changes
from perfport.report.document import Drawing, drawing, render_page, write_page
from perfport.report.wording import property_label

__all__ = ["change_drawings", "change_rows", "comparison_headline", "render_comparison", "write_comparison_page"]


def render_comparison(comparison: Comparison, *, created: datetime, command: str = "") -> str:
    """Return the page of a comparison as one HTML document.

    Args:
        comparison: What was found.
        created: When, with a time zone.
        command: Command line that made it, ready to be copied.
    """
    names = list(comparison.ranks[0].configuration) if comparison.ranks else []
    return render_page(
        "comparison.html.j2",
        title=f"{comparison.source} to {comparison.target}: {property_label(comparison.property)}",
        created=created,
        headline=comparison_headline(comparison),
        comparison=comparison,
        change_rows=change_rows(comparison),
        options=names,
        ranks=[(moved, [level_text(moved.configuration[name]) for name in names]) for moved in comparison.ranks],
        unit=comparison.property.unit,
        label=property_label(comparison.property),
        drawings={found.name: found for found in change_drawings(comparison)},
        command=command,
    )


def write_comparison_page(comparison: Comparison, path: Path | str, *, command: str = "") -> Path:
    """Write the page of a comparison, made now, and return its absolute path.

    Raises:
        UsageError: If the folder does not exist, or `path` is a folder.
        StoreError: If the file cannot be written.
    """
    return write_page(render_comparison(comparison, created=datetime.now(UTC), command=command), path)


def comparison_headline(comparison: Comparison) -> str:
    """Return how many influences stay, scale, flip, ... in one sentence.

    Example:
        >>> comparison_headline(compare(source, target))  # doctest: +SKIP
        'Of 9 influences 4 stay the same, 2 scale, 1 flips, 2 vanish.'
    """
    n = len(comparison.influences)
    if not n:
        return "No option has an influence in either environment."
    verbs = {
        "stays": ("stays the same", "stay the same"),
        "scales": ("scales", "scale"),
        "flips": ("flips", "flip"),
        "reshapes": ("is reshaped", "are reshaped"),
        "vanishes": ("vanishes", "vanish"),
        "appears": ("appears", "appear"),
    }
    counts = {kind: len(comparison.of_kind(kind)) for kind in KINDS}
    said = [f"{count} {verbs[kind][count > 1]}" for kind, count in counts.items() if count]
    return f"Of {n} influence{'s' if n > 1 else ''} {', '.join(said)}."


def change_rows(comparison: Comparison) -> list[tuple[InfluenceChange, str]]:
    """Return every influence with what became of it in words."""
    return [(change, change_text(change)) for change in comparison.influences]


def change_drawings(comparison: Comparison) -> Iterator[Drawing]:
    """Yield the picture of the changes, named "changes", if there is anything to draw."""
    if comparison.influences:
        said = "; ".join(f"{change.name} {change_text(change)}" for change in comparison.influences[:8])
        yield drawing("changes", f"Each influence in {comparison.source} and in {comparison.target}: {said}.",
                      draw_changes(comparison))  # fmt: skip
