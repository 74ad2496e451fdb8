# ruff: noqa: N802, D102  # names and arguments are those of pynvml
"""A constructed NVIDIA management library: the functions of pynvml that perfport calls, without a GPU.

It was written after the API reference, not recorded on hardware. A test compares its signatures with
those of pynvml.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["FakeGpu", "FakeNvml", "NVMLError"]


class NVMLError(Exception):
    """Base of what the library raises."""


class _NotSupportedError(NVMLError):
    pass


class _LibraryNotFoundError(NVMLError):
    pass


class _NoPermissionError(NVMLError):
    pass


@dataclass
class FakeGpu:
    """One GPU that draws constant power.

    Attributes:
        uuid: Its UUID.
        power_w: What it draws.
        counts_energy: Whether it has an energy counter (Volta and later).
        clocks_mhz: Clocks it can be locked to.
        limit_mw: Power limit.
        limits_mw: Lowest and highest power limit.
        locked_mhz: Clock it is locked to; None if it is not.
    """

    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    power_w: float = 50.0
    counts_energy: bool = True
    clocks_mhz: tuple[int, ...] = (300, 900, 1410)
    limit_mw: int = 220_000
    limits_mw: tuple[int, int] = (100_000, 250_000)
    locked_mhz: int | None = None


@dataclass
class FakeNvml:
    """Answers as pynvml would.

    Attributes:
        gpus: The GPUs of the machine.
        has_driver: Whether there is a driver at all.
        may_set: Whether the caller may change settings (root).
        clock: Time in seconds; energy counters follow it.
    """

    gpus: list[FakeGpu] = field(default_factory=lambda: [FakeGpu()])
    has_driver: bool = True
    may_set: bool = True
    clock: Callable[[], float] = time.perf_counter

    NVML_CLOCK_SM = 1
    NVMLError = NVMLError
    NVMLError_NotSupported = _NotSupportedError
    NVMLError_LibraryNotFound = _LibraryNotFoundError
    NVMLError_NoPermission = _NoPermissionError

    def nvmlInit(self) -> None:
        if not self.has_driver:
            raise _LibraryNotFoundError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        found = [gpu for gpu in self.gpus if gpu.uuid == uuid]
        if not found:
            raise NVMLError("Not Found")
        return found[0]

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return "Constructed GPU"

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeGpu) -> int:
        if not handle.counts_energy:
            raise _NotSupportedError("Not Supported")
        return round(handle.power_w * self.clock() * 1e3)

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:
        return round(handle.power_w * 1e3)

    def nvmlDeviceGetSupportedMemoryClocks(self, handle: FakeGpu) -> list[int]:
        if not handle.clocks_mhz:
            raise _NotSupportedError("Not Supported")
        return [5001, 810]

    def nvmlDeviceGetSupportedGraphicsClocks(self, handle: FakeGpu, memoryClockMHz: int) -> list[int]:
        return sorted(handle.clocks_mhz, reverse=True)

    def nvmlDeviceGetClockInfo(self, handle: FakeGpu, type: int) -> int:  # pynvml's name
        return handle.locked_mhz if handle.locked_mhz is not None else max(handle.clocks_mhz)

    def nvmlDeviceSetGpuLockedClocks(self, handle: FakeGpu, minGpuClockMHz: int, maxGpuClockMHz: int) -> None:
        self._require_root()
        handle.locked_mhz = maxGpuClockMHz

    def nvmlDeviceResetGpuLockedClocks(self, handle: FakeGpu) -> None:
        self._require_root()
        handle.locked_mhz = None

    def nvmlDeviceGetPowerManagementLimit(self, handle: FakeGpu) -> int:
        return handle.limit_mw

    def nvmlDeviceGetPowerManagementLimitConstraints(self, handle: FakeGpu) -> tuple[int, int]:
        return handle.limits_mw

    def nvmlDeviceSetPowerManagementLimit(self, handle: FakeGpu, limit: int) -> None:
        self._require_root()
        handle.limit_mw = limit

    def _require_root(self) -> None:
        if not self.may_set:
            raise _NoPermissionError("Insufficient Permissions")
