"""Networks in 8 bits, made once from the float ones by ONNX Runtime's own tool and kept by hash.

Source:
    onnxruntime.ai, "Quantize ONNX models": unsigned weights for the dynamic kind (its integer convolution is many
    times slower with signed ones: measured here), calibrated activations with signed weights for the static kind.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perfport.data.environment import Fact
from perfport.errors import MeasurementError, MissingPackageError
from perfport.measure.machine.scratch import temporary_folder
from perfport.measure.networks import Network
from perfport.measure.networks.cache import identity_of, made_once
from perfport.measure.networks.inputs import make_inputs
from perfport.measure.networks.topologies import import_onnx
from perfport.measure.systems.onnxruntime_options import import_runtime

__all__ = ["PRECISIONS", "has_quantised_operators", "quantised"]

PRECISIONS = ("f32", "int8_dynamic", "int8_static")
_RECIPE = "version 1"
_CALIBRATION_BATCH = 4
_OPSET_WITH_CHANNEL_SCALES = 13


@cache
def has_quantised_operators(path: Path) -> bool:
    """Return whether a network cannot be quantised here: it already is, or the package that reads it is missing."""
    if find_spec("onnx") is None:
        return True
    graph = import_onnx().load(str(path), load_external_data=False).graph
    return any("QuantizeLinear" in node.op_type or "Integer" in node.op_type for node in graph.node)


def quantised(network: Network, workload: Mapping[str, Fact], precision: str) -> Path:
    """Return the file of `network` in 8 bits, made now if it is not in the cache.

    Args:
        network: The float network.
        workload: Gives the lengths of the inputs that calibrate the static kind; they are the seeded ones.
        precision: "int8_dynamic" or "int8_static".

    Raises:
        MeasurementError: If the tool cannot quantise this network.
        MissingPackageError: If onnx, which the tool needs, is not installed.
    """
    parts = [network.sha256, precision, _RECIPE, str(import_runtime().__version__)]
    if precision == "int8_static":
        parts += [f"{name}={workload[name]}" for name in network.lengths]
    name = f"{network.path.stem}-{precision}-{identity_of(*parts)}.onnx"
    return made_once(name, lambda target: _quantise(network, workload, precision, target))


def _quantise(network: Network, workload: Mapping[str, Fact], precision: str, target: Path) -> None:
    onnx = import_onnx()
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingPackageError(f"quantising a network needs a package that is missing: {error}") from error
    with temporary_folder() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            # Weights must be constants, and scales of normalisations folded into them, to be found by the tool.
            quant_pre_process(str(network.path), str(prepared), skip_symbolic_shape=True)
            if precision == "int8_dynamic":
                quantization.quantize_dynamic(str(prepared), str(target), weight_type=quantization.QuantType.QUInt8)
                return
            opset = max(entry.version for entry in onnx.load(str(prepared)).opset_import if not entry.domain)
            quantization.quantize_static(
                str(prepared),
                str(target),
                _calibration(quantization, network, workload),
                per_channel=opset >= _OPSET_WITH_CHANNEL_SCALES,
            )
        except OSError:
            raise
        except Exception as error:  # the tool raises what its parts do
            text = " ".join(str(error).split())[:200]
            raise MeasurementError(f"ONNX Runtime cannot quantise '{network.name}' to {precision}: {text}") from error


def _calibration(quantization: Any, network: Network, workload: Mapping[str, Fact]) -> Any:
    batches = iter([make_inputs(network, workload, _CALIBRATION_BATCH if network.has_batch else 1)])

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]  # ships no types
        def get_next(self) -> Any:
            return next(batches, None)

    return Calibration()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tool's advice out of the log: it warns of what it does by itself."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
