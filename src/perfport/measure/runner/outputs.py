"""Comparing what a configuration computes with what the default configuration computes.

A configuration that is fast because it is wrong must be an outcome of its own, not the winner.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_reference", "write_reference", "wrong_output"]


def wrong_output(outputs: Sequence[NDArray[Any]], reference: Sequence[NDArray[Any]], tolerance: float) -> str:
    """Return what is wrong with `outputs`, or "" if they agree with `reference`.

    Args:
        outputs: One array per output of the network, for the first input.
        reference: The same from the default configuration.
        tolerance: Largest ||output - reference|| / ||reference||, for each output.
    """
    if len(outputs) != len(reference):
        return f"wrong output: {len(outputs)} outputs where the default configuration has {len(reference)}"
    for number, (found, expected) in enumerate(zip(outputs, reference, strict=True)):
        if found.shape != expected.shape:
            return f"wrong output: output {number} has shape {found.shape}, not {expected.shape}"
        if not np.issubdtype(expected.dtype, np.number):
            if not np.array_equal(found, expected):
                return f"wrong output: output {number} differs from that of the default configuration"
            continue
        error = _relative_error(found.astype(np.float64), expected.astype(np.float64))
        if not error <= tolerance:
            return (
                f"wrong output: output {number} differs from that of the default configuration "
                f"by {error:.2g} of its norm (tolerance {tolerance:g})"
            )
    return ""


def _relative_error(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return ||found - expected|| / ||expected||, NaN or infinity where only one is finite."""
    agree = (found == expected) | (np.isnan(found) & np.isnan(expected))
    difference = np.subtract(found, expected, out=np.zeros_like(expected), where=~agree)
    return _norm(difference) / (_norm(expected[np.isfinite(expected)]) or 1.0)


def _norm(values: NDArray[np.float64]) -> float:
    # OPTIM: np.linalg.norm would wake the threads of a linear algebra library (40 ms instead of 40 us on
    # two processors), which then spin beside the network that is measured.
    return float(np.sqrt(np.sum(np.square(values))))


def write_reference(path: Path, outputs: Sequence[NDArray[Any]]) -> None:
    """Store outputs in one file, atomically: a killed child leaves no half of it."""
    scratch = path.with_suffix(".part.npz")
    np.savez(scratch, *outputs)
    os.replace(scratch, path)  # noqa: PTH105  # one system call, the point of it


def read_reference(path: Path) -> list[NDArray[Any]]:
    """Read what `write_reference` stored, in order."""
    with np.load(path) as arrays:
        return [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
