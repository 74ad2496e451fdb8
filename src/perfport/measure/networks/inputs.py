"""Seeded inputs for a network under a workload: the same numbers in every run, process and runtime."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError, UsageError
from perfport.measure.base import Configuration
from perfport.measure.networks.base import BATCH, InputTensor, Network
from perfport.seeding import rng_for

__all__ = ["batch_of", "check_workload", "first_of_batch", "input_shapes", "make_inputs"]

_GLYPH_PIXELS = 16
_LINE_PIXELS = 48  # an image of at most this height is one line of text


def check_workload(network: Network, workload: Mapping[str, Fact]) -> None:
    """Raise unless `workload` gives exactly the lengths the network needs.

    Raises:
        UsageError: If a fact is missing, unknown, or no legal length.
    """
    for fact in workload:
        if fact == BATCH:
            raise UsageError("workload fact 'batch': the batch is an option; to fix it, give levels: {batch: [4]}")
        if fact not in network.lengths:
            close = get_close_matches(fact, network.lengths, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            needed = ", ".join(network.lengths) or "none"
            raise UsageError(f"workload fact '{fact}': network '{network.name}' takes {needed}{hint}", fact=fact)
    for name in network.lengths:
        step = network.steps.get(name, 1)
        length = workload.get(name)
        if not isinstance(length, int) or isinstance(length, bool) or length < 1 or length % step:
            given = "is missing" if length is None else f"is {length!r}"
            multiple = f" that is a multiple of {step}" if step > 1 else ""
            raise UsageError(
                f"workload fact '{name}' {given}; network '{network.name}' needs a positive whole number{multiple}",
                fact=name,
            )


def batch_of(network: Network, configuration: Configuration) -> int:
    """Return the batch of a configuration, 1 if it has none.

    Raises:
        InvalidConfigurationError: If the network cannot take that batch.
    """
    level = configuration.get(BATCH)
    if level is None:
        return 1
    if not network.has_batch or not isinstance(level, int) or level < 1:
        raise InvalidConfigurationError(f"batch={level!r} is not possible for network '{network.name}'", option=BATCH)
    return level


def first_of_batch(outputs: Iterable[NDArray[Any]], batch: int) -> list[NDArray[Any]]:
    """Return the part of each output that belongs to the first input: what configurations are compared by."""
    return [output[:1] if output.ndim and output.shape[0] == batch else output for output in outputs]


def input_shapes(network: Network, workload: Mapping[str, Fact], batch: int) -> dict[str, tuple[int, ...]]:
    """Return input name -> shape."""
    lengths: dict[str, int] = {name: int(workload[name]) for name in network.lengths} | {BATCH: batch}
    return {
        tensor.name: tuple(length if isinstance(length, int) else lengths[length] for length in tensor.shape)
        for tensor in network.inputs
    }


def make_inputs(network: Network, workload: Mapping[str, Fact], batch: int) -> dict[str, NDArray[Any]]:
    """Return the inputs of one run.

    The first input of a batch is that of a batch of one, so outputs can be compared across batches.

    Args:
        network: What is run.
        workload: Gives the lengths; see `check_workload`.
        batch: Number of inputs at once; 1 if the network's batch is fixed.

    Returns:
        Input name -> array of the network's type.
    """
    shapes = input_shapes(network, workload, batch)
    return {tensor.name: _filled(network, tensor, shapes[tensor.name]) for tensor in network.inputs}


def _filled(network: Network, tensor: InputTensor, shape: tuple[int, ...]) -> NDArray[Any]:
    if tensor.shape[:1] != (BATCH,):
        return _drawn(tensor, shape, rng_for(0, "input", network.name, tensor.name, 0))
    items = [
        _drawn(tensor, shape[1:], rng_for(0, "input", network.name, tensor.name, item)) for item in range(shape[0])
    ]
    return np.stack(items)


def _drawn(tensor: InputTensor, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    if tensor.fill == "ones":
        return np.ones(shape, dtype=tensor.dtype)
    if tensor.fill == "zeros":
        return np.zeros(shape, dtype=tensor.dtype)
    if tensor.fill == "tokens":
        return rng.integers(0, tensor.limit, size=shape).astype(tensor.dtype)
    if tensor.fill == "page":
        return _page(shape, rng).astype(tensor.dtype)
    return rng.standard_normal(shape).astype(tensor.dtype)


def _page(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an image of lines of glyph-like marks, dark (-1) on light (1), shape (channels, height, width).

    A network that looks for text answers almost nothing to noise, and the smallest rounding then
    changes all of an output that is near zero.
    """
    channels, height, width = shape
    cell = _GLYPH_PIXELS if height > _LINE_PIXELS else height
    page = np.ones((height, width))
    tall, broad = max(1, cell * 7 // 50), max(1, cell // 5)  # of one of the 5 x 3 dots of a glyph
    for top in range(cell // 4, height - 5 * tall + 1, cell * 3 // 2):
        for left in range(cell // 4, width - 3 * broad + 1, cell):
            dots = np.kron(rng.random((5, 3)) < 0.55, np.ones((tall, broad)))
            page[top : top + 5 * tall, left : left + 3 * broad] -= 2 * dots
    return np.broadcast_to(page, (channels, height, width)) + 0.02 * rng.standard_normal(shape)
