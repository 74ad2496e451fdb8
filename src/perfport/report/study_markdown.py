"""A study as Markdown: the answer and the table of methods, for a paper, an issue or a repository.

Example:
    >>> print(study_markdown(summary, command="perfport study sizes.yaml"))  # doctest: +SKIP
"""

from collections.abc import Sequence

from perfport.report.study_rows import cost_sentence, method_rows, study_headline, units_sentence
from perfport.study.summary import StudySummary

__all__ = ["markdown_table", "study_markdown"]


def study_markdown(summary: StudySummary, *, command: str = "") -> str:
    """Return title, answer, Scott-Knott table, what it rests on and the command that makes it.

    Args:
        summary: What the study found.
        command: Command line that made it.
    """
    parts = [f"# {summary.title}", study_headline(summary)]
    if summary.best is not None:
        parts += [
            _methods(summary),
            "Errors are mean absolute percentage errors on rows not measured, geometric mean over tasks. Groups: "
            "Scott-Knott ESD on logarithms, differences between tasks taken out." + _baseline(summary),
            f"{units_sentence(summary)} {cost_sentence(summary)}",
        ]
    if summary.left_out:
        parts.append(f"Not compared, as they failed where most did not: {', '.join(summary.left_out)}.")
    if command:
        parts.append(f"    {command}")
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, first column to the left, others to the right; a bar in a cell does not end it."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _methods(summary: StudySummary) -> str:
    header = ["method", "group", *(f"{budget} rows" for budget in summary.budgets), "all"]
    header += ["ratio", "W/T/L", "p (Holm)", "Cliff's delta"] if summary.baseline else []
    rows = []
    for row in method_rows(summary):
        cells = [row.method, row.rank, *row.by_budget, row.error]
        if summary.baseline:
            cells += ["baseline" if row.is_baseline else row.ratio, row.record, row.p_holm, row.effect]
        rows.append(cells)
    return markdown_table(header, rows)


def _baseline(summary: StudySummary) -> str:
    if summary.baseline is None:
        return ""
    return (
        f" Ratio, wins/ties/losses, Wilcoxon's signed-rank test with Holm's correction and Cliff's delta compare with "
        f"`{summary.baseline}`."
    )
