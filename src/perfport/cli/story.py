"""`quickstart`: the whole story on this machine."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from perfport.cli.console import JsonFlag, err, out, print_json
from perfport.cli.tables import StoreOption

__all__ = ["quickstart"]


def quickstart(
    *,
    target: Annotated[
        Literal["size", "network", "openvino"],
        typer.Option(
            help="What changes: the size of the input, the network (a sibling), or the runtime (other options: hard)."
        ),
    ] = "size",
    store: StoreOption = "perfport.db",
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("report.html"),
    seed: Annotated[int, typer.Option(help="Decides every choice.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure two environments of a real network here, transfer, recommend, verify, report: a few minutes.

    Stopped in any way, the same command goes on where it stopped; a second run measures nothing again.
    """
    from perfport.quickstart import Quickstart

    result = Quickstart(move=target, store=store, report=report, seed=seed).run(err if as_json else out)
    if as_json:
        data = result.data
        print_json(
            {
                "comparison": data.comparison,
                "verdict": data.verdict,
                "recommendation": data.recommendation,
                "absent": data.absent,
                "report": result.report,
                "store": result.store,
            }
        )
    else:
        out.print(f"\nreport: {result.report.resolve()}", markup=False, soft_wrap=True)
        out.print(f"measurements: {result.store} (kept: run it again and nothing is measured twice)", markup=False)
