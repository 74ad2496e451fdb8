"""Redo the study of the OpML 2019 paper on its published data, with one command.

    python examples/opml19/redo.py --data FOLDER_OF_TABLES --out OUT --workers 2

Writes OUT/answers.md (the paper's questions, our answers, and the paper's evaluation beside the right
one), and for each of the two studies its page and its rows. Stopped in any way, the same command goes
on where it stopped.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from answers import write_answers
from published import compare_guided, compare_shift
from rich.console import Console

from perfport.data.tables import SystemTables, read_tables
from perfport.executors import Executor, ProcessExecutor, SerialExecutor
from perfport.report.progress import MeasuringProgress
from perfport.report.study_page import write_study_page
from perfport.study.run import StudyResult, run_study
from perfport.study.spec import StudySpec
from perfport.study.summary import summarise
from perfport.transfer.relatedness import relatedness

HERE = Path(__file__).parent
SOURCE = "tx2_xception_200"
PAPER_ROWS = 84


def main() -> None:
    """Run both studies, compare the evaluations, write the answers."""
    given = _arguments()
    executor: Executor = SerialExecutor() if given.workers == 1 else ProcessExecutor(given.workers)
    tables = read_tables(given.data)
    started = time.monotonic()
    results = {name: _studied(name, given, executor) for name in ("study", "sampling")}
    write_answers(
        given.out / "answers.md",
        study=summarise(results["study"]),
        sampling=results["sampling"].rows,
        evaluations=_every_target(tables, _evaluations),
        related=_every_target(tables, _related),
    )
    n_cells = sum(len(result.rows) for result in results.values())
    print(
        f"{n_cells} cells, {time.monotonic() - started:.0f} s with {given.workers} workers: {given.out / 'answers.md'}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Redo the OpML 2019 study on its published data.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables opml19_xception_tx2")
    parser.add_argument("--out", type=Path, default=Path("opml19"), help="folder of the results")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    return parser.parse_args()


def _studied(name: str, given: argparse.Namespace, executor: Executor) -> StudyResult:
    spec = StudySpec.read(HERE / f"{name}.yaml")
    folder = given.out / name
    with MeasuringProgress(Console(stderr=True), spec.name) as shown:
        result = run_study(spec, folder, data=given.data, executor=executor, progress=shown)
    command = f"python examples/opml19/redo.py --data {given.data} --out {given.out}"
    write_study_page(summarise(result), spec, folder / "study.html", created=datetime.now(UTC), command=command)
    return result


def _every_target(tables: SystemTables, look: Callable[[SystemTables, str, str], pd.DataFrame]) -> pd.DataFrame:
    """Return what `look` finds for every larger image size and property."""
    return pd.concat(
        [
            look(tables, target, name).assign(target=target, property=name)
            for target in tables.environments
            if target != SOURCE
            for name in tables.properties
        ],
        ignore_index=True,
    )


def _evaluations(tables: SystemTables, target: str, name: str) -> pd.DataFrame:
    source, whole = tables.environments[SOURCE], tables.environments[target]
    shifts = compare_shift(source, whole, name, n=PAPER_ROWS)
    return pd.DataFrame([*compare_guided(source, whole, name), *shifts])


def _related(tables: SystemTables, target: str, name: str) -> pd.DataFrame:
    found = relatedness(tables.environments[SOURCE], tables.environments[target], property=name)
    row = {
        "spearman": found.spearman.value,
        "ratio": found.ratio.value,
        "scaled_error_pct": found.scaled_error_pct.value,
    }
    if found.options is not None and found.interactions is not None:
        row |= {"options_kept": found.options.kept, "interactions_kept": found.interactions.kept}
    return pd.DataFrame([row])


if __name__ == "__main__":
    main()
