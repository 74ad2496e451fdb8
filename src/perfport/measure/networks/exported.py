"""The torch networks as ONNX files: exported once, with batch and image side left open where they can be."""

import warnings
from pathlib import Path
from typing import Any

from perfport.errors import MissingPackageError
from perfport.measure.networks.base import BATCH, InputTensor
from perfport.measure.networks.cache import identity_of, made_once

__all__ = ["TORCH_NETWORKS", "export_once", "identity", "import_architectures"]

# Changing this, or how weights are drawn, changes the networks: it is part of their identity.
_RECIPE = "seeded weights in torch, version 1"
_EXPORTED_SIDE = 160  # any side that passes every stage; it is left open in the file
_VGG_SIDE = 224  # its dense layers take 7 x 7 positions


def _image(side: int | str) -> tuple[InputTensor, ...]:
    return (InputTensor("x", "float32", (BATCH, 3, side, side)),)


TORCH_NETWORKS = {
    "xception": _image("side"),
    "inception_v3": _image("side"),
    "resnet50": _image("side"),
    "vgg16": _image(_VGG_SIDE),
    "vgg19": _image(_VGG_SIDE),
}


def import_architectures(name: str) -> Any:
    """Return the module that builds the torch networks.

    Raises:
        MissingPackageError: If torch is not installed.
    """
    try:
        from perfport.measure.networks import architectures  # torch is heavy
    except ImportError as error:
        raise MissingPackageError(
            f"network '{name}' is built with torch, which is not installed: pip install 'perfport[torch]'", name=name
        ) from error
    return architectures


def identity(name: str) -> str:
    """Return what the network `name` is: the same for torch and for the exported file."""
    return identity_of(name, _RECIPE)


def export_once(name: str) -> Path:
    """Return the ONNX file of a torch network, exported now if it is not in the cache.

    Raises:
        MissingPackageError: If it must be exported and torch or its exporter is not installed.
    """
    return made_once(f"{name}-{identity(name)}.onnx", lambda target: _export(name, target))


def _export(name: str, target: Path) -> None:
    architectures = import_architectures(name)
    import torch

    side = TORCH_NETWORKS[name][0].shape[2]
    length = side if isinstance(side, int) else _EXPORTED_SIDE
    axes = {0: BATCH} if isinstance(side, int) else {0: BATCH, 2: side, 3: side}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own parts
        # OPTIM: the older exporter takes 3 s for Inception v3 and nothing but torch; the newer one took
        # 140 s for the same graph on the same two processors, and needs onnxscript.
        torch.onnx.export(
            architectures.architecture(name),
            (torch.zeros(1, 3, length, length),),
            target,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": axes, "logits": {0: BATCH}},
        )
