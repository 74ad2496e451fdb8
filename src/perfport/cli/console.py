"""What every command shares on the terminal: results as text or JSON on stdout, the rest on stderr."""

import sys
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from pydantic_core import to_json
from rich.console import Console

__all__ = ["JsonFlag", "err", "out", "print_json"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print `value` as indented JSON on stdout; numbers that JSON cannot hold (NaN, infinity) become null."""
    text = to_json(value, indent=2, inf_nan_mode="null", fallback=_plain).decode()
    sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, pd.DataFrame):
        return value.to_dict(orient="records")
    return str(value)
