"""NVIDIA's management library, for the meter that reads it and the actuator that sets through it."""

import os
from ctypes.util import find_library
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from perfport.measure.base import Absent

__all__ = ["Gpu", "open_nvml", "visible_gpus"]

_NO_DRIVER = "no library libnvidia-ml: no NVIDIA driver is installed"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        handle: What the library calls it by.
        name: What its maker calls it.
        uuid: What tells it from all others, also after a reboot.
    """

    handle: Any
    name: str
    uuid: str


def open_nvml(nvml: Any = None) -> Any:
    """Return the initialised library, or Absent with the reason.

    Args:
        nvml: A module with the functions of pynvml; the installed one if None.
    """
    if nvml is None:
        try:
            nvml = import_module("pynvml")
        except ImportError:
            if find_library("nvidia-ml") is None:
                return Absent(_NO_DRIVER)
            return Absent('package nvidia-ml-py is not installed: pip install "perfport[gpu]"')
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return Absent(_NO_DRIVER)
    except nvml.NVMLError as error:
        return Absent(f"the NVIDIA driver does not answer: {error}")
    if nvml.nvmlDeviceGetCount() == 0:
        return Absent("the NVIDIA driver finds no GPU")
    return nvml


def visible_gpus(nvml: Any) -> list[Gpu]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names (numbers or UUIDs), all if it is not set.

    Numbers are in the order of the bus, as CUDA_DEVICE_ORDER=PCI_BUS_ID counts them.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    else:
        names = [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
        handles = [
            nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
            for name in names
        ]
    return [
        Gpu(handle, _as_text(nvml.nvmlDeviceGetName(handle)), _as_text(nvml.nvmlDeviceGetUUID(handle)))
        for handle in handles
    ]


def _as_text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
