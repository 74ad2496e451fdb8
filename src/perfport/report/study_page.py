"""The page of a study: the answer, learning curves, tests and the file that makes it again.

Example:
    >>> write_study_page(summary, spec, "study.html")  # doctest: +SKIP
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from perfport.report.document import Drawing, drawing, render_page, write_page
from perfport.report.study_figures import (
    draw_each_strategy,
    draw_ranks,
    draw_study_curves,
    shown_methods,
    strategy_methods,
)
from perfport.report.study_rows import cost_sentence, method_rows, study_headline, units_sentence
from perfport.report.wording import format_pct
from perfport.study.spec import StudySpec
from perfport.study.summary import StudySummary

__all__ = ["render_study", "write_study_page"]

_MOST_FAILURES = 30
_FEW_STRATEGIES = 4  # so few are told apart in one figure


def render_study(summary: StudySummary, spec: StudySpec, *, created: datetime, command: str = "") -> str:
    """Return the page of a study as one HTML document.

    Args:
        summary: What it found.
        spec: What was asked; shown, so that the page can be made again.
        created: When, with a time zone.
        command: Command line that made it, ready to be copied.
    """
    return render_page(
        "study.html.j2",
        title=summary.title,
        created=created,
        headline=study_headline(summary),
        summary=summary,
        rows=method_rows(summary),
        tests=units_sentence(summary),
        cost=cost_sentence(summary),
        tasks=_tasks(summary),
        shown=shown_methods(summary),
        failures=summary.failures[:_MOST_FAILURES],
        n_failed=sum(failure.n_cells for failure in summary.failures),
        drawings={found.name: found for found in _drawings(summary)},
        document=spec.to_yaml(),
        command=command,
    )


def write_study_page(
    summary: StudySummary, spec: StudySpec, path: Path | str, *, created: datetime, command: str = ""
) -> Path:
    """Write the page of a study and return its absolute path; arguments as for `render_study`.

    Raises:
        UsageError: If the folder does not exist, or `path` is a folder.
        StoreError: If the file cannot be written.
    """
    return write_page(render_study(summary, spec, created=created, command=command), path)


def _tasks(summary: StudySummary) -> list[tuple[str, list[str]]]:
    """Return name and errors of every task, for the methods that are shown."""
    table = summary.by_task[shown_methods(summary)] if len(summary.by_task) else summary.by_task
    rows = []
    for (system, sources, target, name), errors in zip(table.index, table.to_numpy(dtype=float), strict=True):
        where = f"{system}: " if system else ""
        rows.append((f"{where}{sources} → {target}, {name}", [format_pct(error) for error in errors]))
    return rows


def _drawings(summary: StudySummary) -> Iterator[Drawing]:
    if summary.best is None:
        return
    yield drawing(
        "curves",
        f"Line chart of the error of each method against the number of measured target rows. {study_headline(summary)}",
        draw_study_curves(summary),
    )
    if len(strategy_methods(summary)) > _FEW_STRATEGIES:
        yield drawing(
            "strategies", "The learning curve of each strategy, in a panel of its own.", draw_each_strategy(summary)
        )
    if summary.critical is not None:
        ranks = summary.critical.average_ranks
        described = ", ".join(f"{name} {rank:.1f}" for name, rank in zip(ranks.index, ranks, strict=True))
        yield drawing("ranks", f"Mean ranks of the methods: {described}.", draw_ranks(summary.critical))
