"""Weights for the topologies of the onnx wheel, which ships them without.

The wheel stores each weight as "this shape, filled with 0.02". Runtimes fold or skip such constants, and all channels
would be equal. Weights get seeded values whose scale carries a signal through many layers: neither vanishing (the
smallest rounding would change the output) nor overflowing.

Source:
    He et al., Delving Deep into Rectifiers, ICCV 2015, equations 10 and 14: deviation sqrt(2 / fan-in) behind a
    rectifier, sqrt(1 / fan-in) elsewhere. Branches of residual blocks are halved, so that a sum of many does not
    explode (our choice).
"""

from pathlib import Path
from typing import Any

import numpy as np

from perfport.errors import MissingPackageError
from perfport.measure.networks.cache import digest_of_file, identity_of, made_once
from perfport.seeding import rng_for

__all__ = ["import_onnx", "with_seeded_weights"]

# Changing this, or how weights are drawn, changes the networks: it is part of their identity.
_RECIPE = "seeded He-normal weights, version 2"
_KEEPS_SIGN = {
    "AveragePool",
    "Concat",
    "Dropout",
    "GlobalAveragePool",
    "LRN",
    "MaxPool",
    "Reshape",
    "Transpose",
}
_BRANCH_SCALE = 0.5


def import_onnx() -> Any:
    """Return the package onnx, needed only where a file is looked into.

    Raises:
        MissingPackageError: If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            "reading an ONNX file needs the package onnx: pip install 'perfport[onnx]'"
        ) from error
    return onnx


def with_seeded_weights(path: Path) -> tuple[Path, str]:
    """Return the file of the topology `path` with weights, made once, and its identity."""
    identity = identity_of(digest_of_file(path), _RECIPE)
    return made_once(f"{path.stem}-{identity}.onnx", lambda target: _fill(path, target)), identity


def _fill(path: Path, target: Path) -> None:
    onnx = import_onnx()
    model = onnx.load(str(path))
    graph = model.graph
    given = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    gains, constants = _gains(graph), _constants(graph)
    placeholders = [node for node in graph.node if node.op_type == "ConstantOfShape" and node.input[0] in given]
    for node in placeholders:
        name = node.output[0]
        shape = tuple(int(length) for length in given[node.input[0]])
        fill = onnx.numpy_helper.to_array(node.attribute[0].t) if node.attribute else np.zeros(1, np.float32)
        value = constants.get(name, float(fill.ravel()[0]))
        weights = _drawn(name, shape, gains.get(name, 2.0)) if len(shape) >= 2 else np.full(shape, value)
        graph.initializer.append(onnx.numpy_helper.from_array(weights.astype(fill.dtype), name))
        graph.node.remove(node)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be listed among the inputs
    _drop_constants_among_inputs(graph, {node.input[0] for node in placeholders})
    target.write_bytes(model.SerializeToString())


def _drawn(name: str, shape: tuple[int, ...], gain: float) -> Any:
    fan_in = int(np.prod(shape[1:]))
    return rng_for(0, "weights", name).standard_normal(shape) * np.sqrt(gain / fan_in)


def _gains(graph: Any) -> dict[str, float]:
    """Return weight name -> 2 where a rectifier halved the power of the input, else 1."""
    makers = {output: node for node in graph.node for output in node.output}

    def is_rectified(name: str) -> bool:
        node = makers.get(name)
        if node is None or node.op_type == "Relu":
            return node is not None
        return node.op_type in _KEEPS_SIGN and is_rectified(node.input[0])

    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return {node.input[1]: 2.0 if is_rectified(node.input[0]) else 1.0 for node in layers}


def _constants(graph: Any) -> dict[str, float]:
    """Return vector name -> value, for normalisations: those of a network whose signals have unit power."""
    summed = {name for node in graph.node if node.op_type == "Sum" for name in node.input}
    behind = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Unsqueeze"}
    constants: dict[str, float] = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            scale = _BRANCH_SCALE if node.output[0] in summed else 1.0
            constants |= dict(zip(node.input[1:], (scale, 0.0, 0.0, 1.0), strict=True))
        elif node.op_type in ("Mul", "Add"):
            # Caffe's Scale layer, exported as two nodes.
            constants |= {behind[name]: float(node.op_type == "Mul") for name in node.input if name in behind}
    return constants


def _drop_constants_among_inputs(graph: Any, shapes: set[str]) -> None:
    """Remove the shapes no longer used, and weights from the list of inputs (old files list them there)."""
    for tensor in [tensor for tensor in graph.initializer if tensor.name in shapes]:
        graph.initializer.remove(tensor)
    fixed = shapes | {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in fixed]:
        graph.input.remove(value)
