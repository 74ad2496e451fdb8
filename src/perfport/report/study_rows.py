"""The sentences and the rows of a study's tables, which its page and the terminal share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perfport.report.wording import format_duration, format_pct
from perfport.study.summary import StudySummary

__all__ = ["MethodRow", "by_budget", "cost_sentence", "method_rows", "study_headline", "units_sentence"]

_NAMED = 3  # methods a sentence names before it counts the rest


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method beside all others, every cell formatted; "" where there is nothing to say.

    Attributes:
        method: Its name.
        rank: Scott-Knott ESD group, 1 is best.
        by_budget: Error at every budget.
        error: Error over all budgets.
        ratio: Its error over the baseline's.
        record: Wins, ties and losses against the baseline.
        p_holm: Of the signed-rank test against the baseline, with Holm's correction.
        effect: Cliff's delta against the baseline.
        is_best: Whether it has the least error.
        is_baseline: Whether it is the baseline.
    """

    method: str
    rank: str
    by_budget: tuple[str, ...]
    error: str
    ratio: str
    record: str
    p_holm: str
    effect: str
    is_best: bool
    is_baseline: bool


def method_rows(summary: StudySummary) -> list[MethodRow]:
    """Return a row a method, best first."""
    against = {str(beside["method"]): beside for beside in summary.against.to_dict("records")}
    ranks = {str(name): ranked for name, ranked in summary.ranking.to_dict("index").items()}
    errors = by_budget(summary)
    rows = []
    for name in errors:
        ranked, beside = ranks.get(name), against.get(name)
        ratio = record = p_holm = effect = ""
        if beside is not None:
            ratio = f"{beside['ratio']:.2f}×"
            record = f"{beside['wins']}/{beside['ties']}/{beside['losses']}"
            p_holm = "< .001" if beside["p_holm"] < 0.001 else f"{beside['p_holm']:.3f}"
            effect = f"{beside['cliffs_delta']:+.2f}"
        rows.append(
            MethodRow(
                method=name,
                rank="" if ranked is None else str(int(ranked["rank"])),
                by_budget=tuple(_pct(errors[name].get(budget, math.nan)) for budget in summary.budgets),
                error="" if ranked is None else _pct(ranked["error_pct"]),
                ratio=ratio,
                record=record,
                p_holm=p_holm,
                effect=effect,
                is_best=name == summary.best,
                is_baseline=name == summary.baseline,
            )
        )
    return rows


def by_budget(summary: StudySummary) -> dict[str, dict[int, float]]:
    """Return method -> budget -> error in percent, best method first."""
    columns = [int(budget) for budget in summary.errors.columns]
    table = summary.errors.to_numpy(dtype=float).tolist()
    return {
        str(name): dict(zip(columns, row, strict=True)) for name, row in zip(summary.errors.index, table, strict=True)
    }


def study_headline(summary: StudySummary) -> str:
    """Return the answer in one or two sentences: the best method, its error, and what cannot be told from it."""
    best = summary.best
    if best is None:
        return f"No method could be compared: {summary.n_cells} cells, and none that most methods finished."
    where = f"{summary.n_tasks} task{'' if summary.n_tasks == 1 else 's'}"
    errors = ", ".join(f"{_pct(error)} from {budget}" for budget, error in by_budget(summary)[best].items())
    text = f"{best} has the least error over {where}: {errors} target rows."
    if not len(summary.ranking):
        return text
    first = summary.ranking.index[summary.ranking["rank"] == 1]
    equals = [str(name) for name in first if name != best]
    if not equals:
        return f"{text} No other method is in its group."
    return f"{text} {_listed(equals)} cannot be told from it."


def units_sentence(summary: StudySummary) -> str:
    """Return what the tests count as independent, and what that means for the findings."""
    if summary.is_by_task:
        return f"The tests count {summary.n_units} tasks, each pair of environments and property once."
    return (
        f"There are too few tasks for a test ({summary.n_tasks}), so the tests count {summary.n_units} repetitions: "
        "what they find holds for these environments only."
    )


def cost_sentence(summary: StudySummary) -> str:
    """Return what the study cost, in measurements and seconds."""
    measuring = (
        "the data do not tell how long they took"
        if summary.cost_s is None
        else f"measuring them took {format_duration(summary.cost_s)}"
    )
    return (
        f"{summary.n_measurements} target rows were measured (looked up), {measuring}; fitting and predicting took "
        f"{format_duration(summary.compute_s)} in all, in {summary.n_cells} cells."
    )


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:_NAMED])
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _pct(value: float) -> str:
    return "" if math.isnan(value) else format_pct(value)
