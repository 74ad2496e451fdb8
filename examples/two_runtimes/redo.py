"""Measure the campaign of this folder, or take its recorded tables, and study what carries over.

    python examples/two_runtimes/redo.py                              # the study, from the recorded tables
    python examples/two_runtimes/redo.py --measure --store FILE.db    # measure first, and record the tables

Writes OUT/study.html, OUT/cells and the findings beside this file. Stopped in any way, the same command
goes on where it stopped.
"""

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from findings import write_findings
from rich.console import Console

from perfport.data.store import Store
from perfport.data.tables import SystemTables, read_tables, write_tables
from perfport.executors import Executor, ProcessExecutor, SerialExecutor
from perfport.measure.campaign import Campaign, run_campaign
from perfport.measure.quality.noise import replicate_error
from perfport.report.progress import MeasuringProgress
from perfport.report.study_page import write_study_page
from perfport.study.run import run_study
from perfport.study.spec import StudySpec
from perfport.study.summary import summarise

HERE = Path(__file__).parent
PROPERTIES = ("inference_time_s", "cpu_time_s")


def main() -> None:
    """Measure if asked to, then study."""
    given = _arguments()
    console = Console(stderr=True)
    if given.measure:
        _measure(Campaign.read(given.campaign), given.store, given.tables, console)
    if not given.tables.is_dir():
        raise SystemExit(f"there are no recorded tables at {given.tables}; add --measure to make them")
    spec = StudySpec.read(given.study)
    executor: Executor = SerialExecutor() if given.workers == 1 else ProcessExecutor(given.workers)
    with MeasuringProgress(console, spec.name) as shown:
        result = run_study(spec, given.out, data=given.tables, executor=executor, progress=shown)
    summary = summarise(result)
    command = f"python examples/two_runtimes/redo.py --out {given.out}"
    page = write_study_page(summary, spec, given.out / "study.html", created=datetime.now(UTC), command=command)
    tables = [read_tables(folder) for folder in sorted(given.tables.iterdir()) if folder.is_dir()]
    write_findings(given.findings, result=result, summary=summary, tables=tables)
    print(f"{len(result.rows)} cells: {given.findings}, {page}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Study a campaign that perfport measured itself.")
    parser.add_argument("--measure", action="store_true", help="measure the campaign first and record its tables")
    parser.add_argument("--campaign", type=Path, default=HERE / "campaign.yaml", help="what to measure")
    parser.add_argument("--study", type=Path, default=HERE / "study.yaml", help="what to compare")
    parser.add_argument("--store", default="two_runtimes.db", help="where measurements are kept")
    parser.add_argument("--tables", type=Path, default=HERE / "tables", help="the recorded tables")
    parser.add_argument("--out", type=Path, default=Path("two_runtimes"), help="folder of the results")
    parser.add_argument("--findings", type=Path, default=HERE / "findings.md", help="the page of findings")
    parser.add_argument("--workers", type=int, default=2, help="processes of the study")
    return parser.parse_args()


def _measure(campaign: Campaign, where: str, folder: Path, console: Console) -> None:
    """Measure what the store lacks, then write one folder of tables a runtime: a folder has one space."""
    with Store.open(where) as store:
        with MeasuringProgress(console, "measuring") as shown:
            run = run_campaign(campaign, store, progress=shown)
        if not run.is_finished:
            raise SystemExit(f"stopped ({run.stopped_by}); the same command goes on")
        for runtime in dict.fromkeys(environment.system for environment in campaign.environments):
            names = [environment.name for environment in campaign.environments if environment.system == runtime]
            datasets = [store.dataset(name, campaign=campaign.name) for name in names]
            kept = [
                replace(dataset, **_only(dataset.properties, dataset.responses, dataset.log_se)) for dataset in datasets
            ]
            noise = {name: replicate_error(store.read(environment=name, campaign=campaign.name)) for name in names}
            tables = replace(
                SystemTables.of(runtime, kept, title=f"{campaign.name}: {runtime}"),
                metadata={
                    "fingerprints": {dataset.environment.name: dataset.environment.fingerprint for dataset in kept},
                    "replicate_error_pct": {name: round(found.median_pct, 2) for name, found in noise.items()},
                },
            )
            write_tables(folder / runtime, tables, overwrite=True)


def _only(*mappings: object) -> dict[str, dict[str, object]]:
    """Return properties, responses and standard errors of what the study predicts or tells."""
    names = ("properties", "responses", "log_se")
    return {
        field: {name: mapping[name] for name in PROPERTIES if name in mapping}  # type: ignore[index, operator]
        for field, mapping in zip(names, mappings, strict=True)
    }


if __name__ == "__main__":
    main()
