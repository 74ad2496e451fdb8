"""A study for the terminal: the answer, the methods, what failed."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from perfport.report.study_rows import cost_sentence, method_rows, study_headline, units_sentence
from perfport.study.summary import StudySummary

__all__ = ["show_study"]

_MOST_FAILURES = 8


def show_study(summary: StudySummary) -> RenderableType:
    """Return the table of methods, what failed, and the answer last, where the eye is when the command ends."""
    parts: list[RenderableType] = []
    if summary.best is not None:
        parts += [_methods(summary), Text(units_sentence(summary), style="dim")]
    parts += [
        Text(f"failed: {failure.method}, {failure.n_cells} cells: {failure.reason}", style="yellow")
        for failure in summary.failures[:_MOST_FAILURES]
    ]
    if len(summary.failures) > _MOST_FAILURES:
        parts.append(Text(f"... and {len(summary.failures) - _MOST_FAILURES} more reasons", style="yellow"))
    if summary.left_out:
        parts.append(Text(f"not compared, as they failed where most did not: {', '.join(summary.left_out)}"))
    return Group(*parts, Text(cost_sentence(summary), style="dim"), Text(study_headline(summary), style="bold"))


def _methods(summary: StudySummary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("method", overflow="fold")
    table.add_column("group", justify="right")
    for budget in summary.budgets:
        table.add_column(f"n={budget}", justify="right", no_wrap=True)
    if summary.baseline is not None:
        table.add_column("ratio", justify="right", no_wrap=True)
        table.add_column("p", justify="right", no_wrap=True)
    for row in method_rows(summary):
        cells = [row.method, row.rank, *(error.replace(" %", "") for error in row.by_budget)]
        if summary.baseline is not None:
            cells += ["baseline" if row.is_baseline else row.ratio, row.p_holm]  # the page has the rest
        table.add_row(*(Text(cell) for cell in cells), style="bold" if row.is_best else "")
    table.title = Text("mean absolute percentage error in %, on rows not measured", style="dim")
    table.title_justify = "left"
    return table
