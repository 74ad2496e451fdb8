"""`propose`: what is worth measuring next in an environment that is measured with a tool of one's own."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import candidates, measured_environments, parse_pairs
from perfport.cli.modelling import (
    CampaignOption,
    DataOption,
    ProtocolOption,
    SeedOption,
    read_configurations,
    read_frame,
)
from perfport.errors import TableError, UsageError

if TYPE_CHECKING:
    from perfport.data.dataset import Dataset
    from perfport.space.space import Space

__all__ = ["propose"]


def propose(
    *,
    data: DataOption = "perfport.db",
    campaign: CampaignOption = None,
    protocol: ProtocolOption = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", "-s", help="Environment to learn from; may be repeated.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="Environment to measure, if some of it is measured already."),
    ] = None,
    property: Annotated[str, typer.Option("--property", "-p", help="What is to be predicted.")] = "inference_time_s",
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many configurations.")] = 10,
    candidates_file: Annotated[
        Path | None,
        typer.Option("--candidates", "-c", help="CSV file of what can be measured; else all valid configurations."),
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TARGET: an option the target calls otherwise; may be repeated.")
    ] = None,
    seed: SeedOption = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file for the rows, to be filled in and imported.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say which configurations are worth measuring next.

    What the target has measured already is not proposed again. Without a target the options are those of the
    first source.
    """
    from perfport.transfer.api import propose as choose

    names = source or []
    if not names and target is None:
        raise UsageError("neither --source nor --target was given; name an environment to learn from, or to measure")
    if target in names:
        raise UsageError(f"'{target}' is source and target: that is no transfer; name other environments as sources")
    if output is not None and output.exists():
        # Somebody may have filled it in.
        raise UsageError(f"{output} exists; give --output another name, so that no reading is lost")
    renamed = parse_pairs(rename or [], "--rename") or None
    with measured_environments(data, campaign=campaign, protocol=protocol) as opened:
        sources = [opened.dataset(name) for name in names]
        measured = None if target is None else opened.dataset(target)
    with err.status("choosing the rows to measure"):
        offered = _offered(candidates_file, sources, measured, property=property, renamed=renamed or {}, seed=seed)
        rows = choose(
            sources=sources,
            candidates=offered,
            property=property,
            budget=n,
            seed=seed,
            measured=measured,
            rename=renamed,
        )
    chosen = offered.iloc[rows].reset_index(drop=True)
    space = (measured or sources[0]).space
    if output is not None:
        _write(chosen, space, property, output)
    if as_json:
        n_measured = 0 if measured is None else len(measured)
        print_json({"property": property, "target": target, "sources": names, "measured": n_measured, "rows": chosen})
        return
    from perfport.data.measurement import Property
    from perfport.report.terminal import show_rows

    where = "" if target is None else f" in {target}"
    out.print(f"worth measuring{where} for {property}, the most useful first:", markup=False)
    out.print(show_rows(chosen, {}, Property(property)))
    if output is not None:
        out.print(f"rows: {output}", markup=False)


def _offered(
    path: Path | None,
    sources: "Sequence[Dataset]",
    measured: "Dataset | None",
    *,
    property: str,
    renamed: Mapping[str, str],
    seed: int,
) -> pd.DataFrame:
    """Return the configurations to choose from: those of a file, or those of the target's (or a source's) space.

    Raises:
        TableError: If the file cannot be read, or a configuration in it is not valid in the target.
        UsageError: If nothing is left that is not known to fail.
    """
    from perfport.advise.recommendation.feasible import not_known_to_fail

    if measured is None:
        if path is not None:
            return _new_configurations(path, sources, property, renamed)
        return candidates(sources[0].space, seed).rename(columns=renamed)
    offered = candidates(measured.space, seed) if path is None else read_configurations(path, measured.space)
    allowed = not_known_to_fail(offered, measured)
    if not allowed.any():
        raise UsageError(
            f"all of the {len(offered)} candidates failed in '{measured.environment.name}' or have a level that always "
            "did; give others with --candidates"
        )
    return offered[allowed].reset_index(drop=True)


def _new_configurations(
    path: Path, sources: "Sequence[Dataset]", property: str, renamed: Mapping[str, str]
) -> pd.DataFrame:
    """Return the configurations of a file for an environment of which nothing is known.

    It may have levels and options that no source has; columns of properties are left out.
    """
    from perfport.space.columns import typed_column

    raw = read_frame(path)
    responses = {property, *(name for source in sources for name in source.properties)}
    columns = [name for name in raw.columns if name not in responses]
    options = {renamed.get(name, name): source.space.option(name) for source in sources for name in source.space.names}
    if not any(name in options for name in columns):
        listed = ", ".join(options)
        raise TableError(f"{path}: no column is an option of a source; their options are {listed}", path=path)
    return pd.DataFrame(
        {name: typed_column(options[name], raw[name]) if name in options else raw[name] for name in columns}
    )


def _write(chosen: pd.DataFrame, space: "Space", property: str, path: Path) -> None:
    """Write rows with an empty column for the responses, levels as tables spell them."""
    from perfport.data.cells import level_text

    def text(name: str, cell: object) -> str:
        if pd.isna(cell):  # type: ignore[call-overload]  # any cell is a scalar
            return ""
        if name not in space or (levels := space.option(name).levels) is None:
            return str(cell)
        code = space.option(name).code(cell)
        return str(cell) if code is None else level_text(space.option(name), levels[code])

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*chosen.columns, property])
        for row in chosen.astype(object).itertuples(index=False, name=None):
            writer.writerow([*(text(str(name), cell) for name, cell in zip(chosen.columns, row, strict=True)), ""])
