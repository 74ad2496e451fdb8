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
    from perfport.report.held import held_in_dataset, held_in_measurements, show_held

    with measured_environments(data) as opened:
        if opened.tables is not None:
            held = [held_in_dataset(dataset) for dataset in opened.tables.environments.values()]
        else:
            store = opened.store
            assert store is not None  # noqa: S101  # one of the two is always there
            held = [
                held_in_measurements(environment, store.read(environment=environment), store.properties(environment))
                for environment in store.environments()
            ]
    if as_json:
        print_json({"data": data, "environments": held})
        return
    out.print(show_held(held))
