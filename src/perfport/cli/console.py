"""What every command shares on the terminal: results as text or JSON, progress on stderr, one-line errors."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

__all__ = ["JsonFlag", "as_json", "err", "out", "print_json"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def as_json(value: Any) -> Any:
    """Return `value` as plain JSON data; numbers that JSON cannot hold (NaN, infinity) become null."""
    match value:
        case Mapping():
            return {str(key): as_json(item) for key, item in value.items()}
        case str() | bool() | None:
            return value
        case int() | float() | np.integer() | np.floating():
            number = value.item() if isinstance(value, np.generic) else value
            return number if math.isfinite(number) else None
        case np.bool_():
            return bool(value)
        case np.ndarray():
            return as_json(value.tolist())
        case Path():
            return str(value)
        case Iterable():
            return [as_json(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return as_json(asdict(value))
        case _:
            return str(value)


def print_json(value: Any) -> None:
    """Print `value` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(as_json(value), indent=2, ensure_ascii=False) + "\n")
