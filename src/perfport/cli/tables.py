"""`import` and `export`: tables in and out of the store."""

import re
from pathlib import Path
from typing import Annotated

import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.environments import store_to_read
from perfport.errors import UsageError

__all__ = ["StoreOption", "export_tables", "import_tables"]

StoreOption = Annotated[str, typer.Option("--store", help="SQLite file, or the URL of a database.")]

_ROW_FILES = (".parquet", ".csv", ".csv.gz")
# What people take for the ending of a file; `boards.v2` and `run-1.5` are folders.
_OTHER_FILE = re.compile(r"\.([A-Za-z]{2,8}[0-9]?|h5|7z)$")


def import_tables(
    folder: Annotated[Path, typer.Argument(help="Folder with datacard.yaml and its CSV files.", show_default=False)],
    *,
    store: StoreOption = "perfport.db",
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Only this one; may be repeated.")
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Name to keep the rows under; that of the tables if not given.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let corrected rows take the place of those imported before.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a folder of published or hand-made measurements into the store.

    Importing twice adds nothing: a row that is there already is left as it is, and it is said if it differs.
    """
    from perfport.data.store import Store
    from perfport.data.tables import read_tables

    tables = read_tables(folder)
    with Store.open(store) as opened, err.status(f"importing {tables.name}"):
        made = opened.import_tables(tables, environments=environment, campaign=campaign, replace=replace)
    names = [name for name in environment or tables.environments if name not in made.without_rows]
    n_differing = len(made.differing)
    if as_json:
        print_json(
            {
                "system": tables.name,
                "environments": names,
                "environments_without_rows": made.without_rows,
                "rows_new": made.n_new,
                "rows_differing": n_differing,
                "rows_replaced": made.n_replaced,
                "differences": made.differences,
                "store": store,
            }
        )
        return
    told = f"{_counted(made.n_new, 'new row')} of {_counted(len(names), 'environment')}"
    out.print(f"{tables.name}: {told} are in {store}", markup=False)
    for name in made.without_rows:
        out.print(f"environment '{name}' has no row, and so is not in the store", markup=False)
    if n_differing:
        what = f"{_counted(n_differing, 'row')} {'differs' if n_differing == 1 else 'differ'} from what is stored and"
        were = "was" if n_differing == 1 else "were"
        done = f"{were} replaced" if replace else f"{were} left as {'it is' if n_differing == 1 else 'they are'}"
        out.print(f"{what} {done}, the first: {made.differences[0]}", markup=False, soft_wrap=True)
        if not replace:
            out.print("add --replace to take what the tables say", markup=False)


def export_tables(
    destination: Annotated[
        Path,
        typer.Argument(
            help="A folder for tables (card and CSV), or a .parquet, .csv or .csv.gz file with one row a repetition.",
            show_default=False,
        ),
    ],
    *,
    store: StoreOption = "perfport.db",
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Only this one; may be repeated.")
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Only its measurements.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Only measurements made under it; files with one row a repetition name it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write measurements from the store to files that any other tool reads."""
    from perfport.data.table_writer import is_in_use
    from perfport.data.tables import SystemTables, write_tables

    is_file = destination.name.endswith(_ROW_FILES)
    if not is_file and _OTHER_FILE.search(destination.name) and not destination.is_dir():
        raise UsageError(
            f"{destination}: cannot export to a {destination.suffix} file; give a name ending in "
            f"{', '.join(_ROW_FILES)}, or a folder (a name without an ending)"
        )
    if is_in_use(destination) and not overwrite:
        raise UsageError(f"{destination}: exists; give another name, or add --overwrite to replace what is there")
    with store_to_read(store) as opened:
        if is_file:
            if environment is not None and len(environment) > 1:
                raise UsageError(
                    "rows are exported of one environment or of all; give --environment once, or not at all"
                )
            if protocol is not None:
                raise UsageError(
                    f"--protocol was given, but {destination} holds rows of every protocol; its column 'protocol' tells"
                )
            n_rows = opened.export_rows(
                destination, environment=environment[0] if environment else None, campaign=campaign
            )
        else:
            names = environment or [found.name for found in opened.environments()]
            datasets = [opened.dataset(name, campaign=campaign, protocol=protocol) for name in names]
            write_tables(destination, SystemTables.of(campaign or destination.name, datasets), overwrite=overwrite)
            n_rows = sum(map(len, datasets))
    if as_json:
        print_json({"path": destination, "rows": n_rows, "store": store})
    else:
        out.print(f"{n_rows} rows written to {destination}", markup=False)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
