"""`list`: what a store or a folder of tables holds."""

from typing import Annotated

import typer

from perfport.cli.console import JsonFlag, out, print_json
from perfport.cli.environments import measured_environments

__all__ = ["list_environments"]


def list_environments(
    data: Annotated[str, typer.Argument(help="A folder of tables, or a store (file or URL).")] = "perfport.db",
    *,
    as_json: JsonFlag = False,
) -> None:
    """List the environments: how many configurations, how they ended, properties, options."""
    from perfport.data.tables import SystemTables
    from perfport.report.held import held_in_dataset, held_in_measurements, show_held

    with measured_environments(data) as opened:
        store = opened.held
        if isinstance(store, SystemTables):
            held = [held_in_dataset(dataset) for dataset in store.environments.values()]
        else:
            held = [
                held_in_measurements(environment, store.read(environment=environment), store.properties(environment))
                for environment in store.environments()
            ]
    if as_json:
        print_json({"data": data, "environments": held})
        return
    out.print(show_held(held))
