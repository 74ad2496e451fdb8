"""`study`: strategies, learners, samplers and budgets compared, from one file."""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.errors import PerfError

if TYPE_CHECKING:
    from perfport.executors import Executor
    from perfport.study.spec import StudySpec
    from perfport.study.summary import StudySummary

__all__ = ["study"]


def study(
    spec: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="What to compare.", show_default=False)],
    *,
    data: Annotated[
        str, typer.Option("--data", help="Tables, a folder of tables, or a store; instead of the file's.")
    ] = "",
    results: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results. [NAME of the study]")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes that compute.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Compare strategies, learners, samplers and budgets, with statistics and a page.

    Stopped in any way, the same command goes on where it stopped. The folder holds the page, the study
    and one row a cell, as Parquet.
    """
    from perfport.report.progress import MeasuringProgress
    from perfport.report.study_markdown import study_markdown
    from perfport.report.study_page import write_study_page
    from perfport.report.study_terminal import show_study
    from perfport.study.run import run_study
    from perfport.study.spec import StudySpec
    from perfport.study.summary import summarise

    asked = StudySpec.read(spec)
    folder = results or Path(asked.name)
    with MeasuringProgress(err, "computing") as shown:
        found = run_study(asked, folder, data=data, executor=_executor(workers), progress=shown)
    with err.status("summarising"):
        summary = summarise(found)
        command = f"perfport study {spec}" + (f" --data {data}" if data else "") + f" --out {folder}"
        page = write_study_page(summary, asked, folder / "study.html", created=datetime.now(UTC), command=command)
        (folder / "study.md").write_text(study_markdown(summary, command=command), encoding="utf-8")
        (folder / "study.yaml").write_text(_seen_from(folder, asked, data).to_yaml(), encoding="utf-8")
    if as_json:
        run = {"study": asked.name, "folder": folder, "page": page, "cells": len(found.rows)}
        print_json(run | {"computed": found.n_computed, "elapsed_s": found.elapsed_s} | _told(summary))
    else:
        out.print(show_study(summary))
        out.print(f"page: {page}", markup=False)
    _check_not_all_failed(summary)


def _check_not_all_failed(summary: "StudySummary") -> None:
    """Raise a `PerfError` with the most frequent reason if no cell of a study came to anything."""
    counts = Counter[str]()
    for failure in summary.failures:
        counts[failure.reason] += failure.n_cells
    if counts.total() < summary.n_cells or not counts:
        return
    reason, n_cells = counts.most_common(1)[0]
    raise PerfError(f"all {summary.n_cells} cells of the study failed, {n_cells} of them: {reason}")


def _executor(workers: int) -> "Executor":
    from perfport.executors import ProcessExecutor, SerialExecutor

    return SerialExecutor() if workers == 1 else ProcessExecutor(workers)


def _seen_from(folder: Path, asked: "StudySpec", data: str) -> "StudySpec":
    """Return the study with the path of its data as seen from the folder it is kept in."""
    where = data or asked.data
    if "://" not in where:
        where = os.path.relpath(where, folder)
    return asked.model_copy(update={"data": where})


def _told(summary: "StudySummary") -> dict[str, Any]:
    return {
        "best": summary.best,
        "n_tasks": summary.n_tasks,
        "errors_pct": summary.errors.to_dict("index"),
        "ranking": summary.ranking.reset_index(),
        "against_baseline": summary.against,
        "baseline": summary.baseline,
        "failures": summary.failures,
        "left_out": summary.left_out,
        "n_measurements": summary.n_measurements,
        "cost_s": summary.cost_s,
        "compute_s": summary.compute_s,
    }
