"""What carries over, and what does not, as Markdown; no number is written by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.tables import SystemTables
from perfport.report.study_markdown import markdown_table
from perfport.study.run import StudyResult
from perfport.study.spec import StudySpec
from perfport.study.summary import StudySummary
from perfport.transfer.relatedness import relatedness

__all__ = ["write_findings"]

PROPERTY = "inference_time_s"
KINDS = ("another size", "another network", "another runtime")
ALONE = "target_only:gp"
SLACK = 1.1  # errors that differ by less are called equal


def write_findings(path: Path, *, result: StudyResult, summary: StudySummary, tables: Sequence[SystemTables]) -> None:
    """Write the page.

    Args:
        path: The file; its folder exists.
        result: The study.
        summary: What it found.
        tables: The recorded tables, one folder a runtime.
    """
    environments = {name: dataset for system in tables for name, dataset in system.environments.items()}
    rows = result.rows[result.rows["status"] == "ok"]
    rows = rows.assign(kind=[_kind(a, b) for a, b in zip(rows["sources"], rows["target"], strict=True)])
    errors = rows.assign(log=np.log(rows["mape_pct"])).groupby(["kind", "method", "budget"])["log"].mean().map(np.exp)
    sections = [
        _introduction(summary, tables, environments),
        _errors(errors, summary),
        _related(result.spec, environments),
        _cost(summary),
    ]
    path.write_text("\n\n".join(text for section in sections for text in section) + "\n", encoding="utf-8")


def _kind(source: str, target: str) -> str:
    """Return what changes from source to target; environments are called runtime_network_size."""
    here, there = (name.rpartition("/")[2].split("_") for name in (source, target))
    (at,) = [at for at, (a, b) in enumerate(zip(here, there, strict=True)) if a != b]
    return KINDS[2 - at]


def _introduction(
    summary: StudySummary, tables: Sequence[SystemTables], environments: dict[str, Dataset]
) -> Iterator[str]:
    first = next(iter(environments.values())).environment
    facts = ("cpu", "cores", "memory_gib", "virtualised")
    machine = ", ".join(f"{name} {first.hardware[name]}" for name in facts if name in first.hardware)
    versions = sorted({
        f"{name} {fact}"
        for dataset in environments.values()
        for name, fact in dataset.environment.software.items()
        if name not in ("runtime", "system")
    })  # fmt: skip
    n_failed = sum(int((dataset.status != "ok").sum()) for dataset in environments.values())
    n_rows = sum(map(len, environments.values()))
    noise = [float(value) for system in tables for value in dict(system.metadata["replicate_error_pct"]).values()]
    yield "# What carries over between runtimes, networks and sizes"
    yield _prose(f"""
        {len(environments)} environments (two runtimes, two networks, two input sizes), {n_rows} configurations measured
        by perfport, {n_failed} failed. Machine: {machine}. Software: {", ".join(versions)}. Median replicate error of
        an environment: {min(noise):.1f} to {max(noise):.1f} %, which no model can be expected to beat. The study:
        {summary.n_tasks} tasks, in each of which one thing changes, {summary.n_cells} models; errors are mean absolute
        percentage errors of `{PROPERTY}` on configurations that were not measured, geometric mean over tasks. Written
        by `examples/two_runtimes/redo.py` from the tables beside it.""")


def _errors(errors: pd.Series, summary: StudySummary) -> Iterator[str]:
    yield "## Which strategy, for which change?"
    for kind in KINDS:
        table = errors[kind].unstack("budget")
        table = table.loc[np.log(table).mean(axis=1).sort_values().index]
        header = ["method, % error", *(f"{budget} rows" for budget in table.columns)]
        cells = [
            [str(name), *(f"{error:.1f}" for error in row)]
            for name, row in zip(table.index, table.to_numpy(dtype=float), strict=True)
        ]
        yield f"**{kind}**"
        yield markdown_table(header, cells)
    yield from (_verdict(kind, errors[kind].unstack("budget")) for kind in KINDS)
    groups = summary.ranking["rank"]
    first = ", ".join(f"`{name}`" for name in groups.index[groups == 1])
    yield f"Scott-Knott ESD over all {summary.n_tasks} tasks: the first of {groups.max()} groups is {first}."


def _verdict(kind: str, table: pd.DataFrame) -> str:
    alone = table.loc[ALONE]
    with_source = table[~table.index.str.startswith("target_only")]
    best = str(np.log(with_source).mean(axis=1).idxmin())
    ratio = alone / table.loc["auto"]
    helped = [str(budget) for budget in table.columns if ratio[budget] >= SLACK]
    harmed = [str(budget) for budget in table.columns if ratio[budget] <= 1 / SLACK]
    told = (
        f"`auto` has the lower error from {', '.join(helped)} rows" if helped else "`auto` is nowhere clearly better"
    ) + (f" and the higher one from {', '.join(harmed)}" if harmed else "")
    return _prose(f"""
        With {kind}, {told} than `{ALONE}`, which uses no source and has {_ratios(ratio)} times its error; direct reuse
        has {table.loc["direct"].iloc[0]:.0f} % error. Best of those that use a source: `{best}`.""")


def _ratios(ratio: pd.Series) -> str:
    return " / ".join(f"{value:.2f}" for value in ratio)


def _related(spec: StudySpec, environments: dict[str, Dataset]) -> Iterator[str]:
    yield "## How related are the environments?"
    found = []
    for pair in spec.all_pairs():
        source, target = (environments[name.rpartition("/")[2]] for name in (pair.sources[0], pair.target))
        rename = {
            old: new
            for old, new in spec.rename.items()
            if old in source.space and new in target.space and new not in source.space
        }
        measured = relatedness(source, target, property=PROPERTY, rename=rename)
        kept = measured.options.kept if measured.options is not None else float("nan")
        found.append(
            (_kind(pair.sources[0], pair.target), measured.spearman.value, measured.scaled_error_pct.value, kept)
        )
    table = pd.DataFrame(found, columns=["kind", "spearman", "scaled", "kept"])
    rows = []
    for kind in KINDS:
        part = table[table["kind"] == kind]
        rows.append([
            kind,
            f"{part['spearman'].min():.2f} to {part['spearman'].max():.2f}",
            f"{part['scaled'].min():.0f} to {part['scaled'].max():.0f}",
            f"{100 * part['kept'].mean():.0f}" if part["kept"].notna().any() else "",
        ])  # fmt: skip
    yield markdown_table(
        ["change", "rank correlation", "error of the scaled source, %", "influential options kept, %"], rows
    )


def _cost(summary: StudySummary) -> Iterator[str]:
    if summary.cost_s is not None and summary.n_measurements:
        yield "## What does a row cost?"
        yield f"A configuration took {summary.cost_s / summary.n_measurements:.1f} s to measure, all windows included."


def _prose(text: str) -> str:
    return " ".join(text.split())
