"""Networks given by path: their inputs are read from the file."""

from pathlib import Path
from typing import Any

import numpy as np

from perfport.errors import MissingPackageError, UsageError
from perfport.measure.networks.base import BATCH, Fill, InputTensor, Network
from perfport.measure.networks.cache import digest_of_file
from perfport.measure.networks.topologies import import_onnx

__all__ = ["import_litert", "network_of_file"]


def network_of_file(path: Path) -> Network:
    """Return the network of an .onnx or .tflite file.

    Raises:
        UsageError: If there is no such file, or it holds no network.
        MissingPackageError: If the package that reads it is not installed.
    """
    if not path.is_file():
        where = "" if path.is_absolute() else f" in {Path.cwd()}, the folder perfport was started in"
        raise UsageError(
            f"network '{path}': there is no such file{where}; give the path of a network's file", path=str(path)
        )
    inputs = _tflite_inputs(path) if path.suffix == ".tflite" else _onnx_inputs(path)
    return Network(path.stem, path.resolve(), inputs, digest_of_file(path), path.stat().st_size)


def import_litert() -> Any:
    """Return LiteRT's interpreter module.

    Raises:
        MissingPackageError: If it is not installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise MissingPackageError(
            "system 'litert' needs the package ai-edge-litert: pip install 'perfport[litert]'"
        ) from error
    return interpreter


def _onnx_inputs(path: Path) -> tuple[InputTensor, ...]:
    onnx = import_onnx()
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf raises what it likes on a file that is no network
        raise UsageError(f"network '{path}' cannot be read as ONNX: {_one_line(error)}") from error
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [_onnx_input(value, onnx) for value in graph.input if value.name not in weights]
    if not inputs:
        raise UsageError(f"network '{path}' has no inputs; give the file of a whole network")
    return tuple(inputs)


def _onnx_input(value: Any, onnx: Any) -> InputTensor:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape: list[int | str] = []
    for axis, length in enumerate(tensor.shape.dim):
        if length.HasField("dim_value") and length.dim_value > 0:
            shape.append(int(length.dim_value))
        elif axis == 0:
            shape.append(BATCH)
        else:
            # Exporters that have no name for an axis write "?" or a number of their own for every one.
            named = length.dim_param.isidentifier()
            shape.append(length.dim_param if named else f"{value.name}_{axis}")
    return InputTensor(value.name, dtype.name, tuple(shape), _fill_for(dtype))


def _tflite_inputs(path: Path) -> tuple[InputTensor, ...]:
    litert = import_litert()
    try:
        details = litert.Interpreter(str(path), num_threads=1).get_input_details()
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"network '{path}' cannot be read as TFLite: {_one_line(error)}") from error
    return tuple(_tflite_input(detail) for detail in details)


def _tflite_input(detail: dict[str, Any]) -> InputTensor:
    shape: list[int | str] = [
        int(length) if length > 0 else BATCH if axis == 0 else f"{detail['name']}_{axis}"
        for axis, length in enumerate(detail["shape_signature"])
    ]
    dtype = np.dtype(detail["dtype"])
    return InputTensor(detail["name"], dtype.name, tuple(shape), _fill_for(dtype))


def _fill_for(dtype: np.dtype[Any]) -> Fill:
    # Whole numbers are nearly always numbers of tokens or marks: 0 and 1 are legal for all of them.
    return "tokens" if np.issubdtype(dtype, np.integer) else "normal"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
