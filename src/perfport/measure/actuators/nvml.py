"""Clocks and power limit of NVIDIA GPUs, through the driver's management library; needs root.

A power limit is read before it is set and comes back as it was. A clock lock cannot be read: the
library has no question for it, so restoring means unlocking, and a lock that somebody else had set
before is lost; unlock first (`nvidia-smi -rgc`) if there may be one.

Source: NVML API Reference, "Device Commands". Tested with a constructed library; not run on hardware.
"""

import os
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

from perfport.errors import ActuationError
from perfport.measure.actuators.files import same_level
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.machine.nvidia import Gpu, open_nvml, visible_gpus
from perfport.space.options import Level, Option

__all__ = ["NvmlSettings"]

_SETTLES_S = 2.0  # a clock that was locked is reached within this time


class NvmlSettings:
    """Sets all visible GPUs alike: `gpu_clock_hz` (locked) and `gpu_power_limit_w`.

    Attributes:
        options: What the GPUs have in common.
    """

    name = "nvml"
    scope: Literal["machine"] = "machine"

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = open_nvml(nvml)
        self._problem = self._nvml.reason if isinstance(self._nvml, Absent) else ""
        self._gpus: list[Gpu] = []
        self._locked_hz: float | None = None
        self.options: tuple[Option, ...] = ()
        if not self._problem:
            try:
                self._gpus = visible_gpus(self._nvml)
                self.options = tuple(option for option in (self._clock(), self._limit()) if option is not None)
            except self._nvml.NVMLError as error:
                self._problem = f"the GPU does not say what can be set: {error}"
            if not self.options and not self._problem:
                self._problem = "the GPUs have neither clocks that can be locked nor a power limit"

    def availability(self) -> Availability:
        """Return what can be set, or why nothing can."""
        if self._problem:
            return Absent(self._problem)
        if hasattr(os, "geteuid") and os.geteuid() != 0:
            return Absent("clocks and power limits may be set by root only: run as root (sudo)")
        return Available(", ".join(gpu.name for gpu in self._gpus))

    def read(self) -> dict[str, Level | None]:
        """Return the locked clock as the GPU runs at it (None: not locked by us) and the power limit."""
        readers = {"gpu_clock_hz": self._read_clock_hz, "gpu_power_limit_w": self._read_limit_w}
        return {option.name: readers[option.name]() for option in self.options}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set levels (a clock of None unlocks, a limit of None stays) and return them as read back.

        Raises:
            ActuationError: If the driver refuses or the read-back differs.
        """
        known = {option.name for option in self.options}
        unknown = [name for name in levels if name not in known]
        if unknown:
            able = ", ".join(sorted(known)) or "nothing here"
            raise ActuationError(f"actuator 'nvml' does not set {', '.join(unknown)}; it sets {able}", options=unknown)
        try:
            for name, level in levels.items():
                if name == "gpu_clock_hz":
                    self._lock(None if level is None else float(level))
                elif level is not None:
                    for gpu in self._gpus:
                        self._nvml.nvmlDeviceSetPowerManagementLimit(gpu.handle, round(float(level) * 1e3))
        except self._nvml.NVMLError as error:
            raise ActuationError(
                f"actuator 'nvml': {dict(levels)} was refused: {error}", levels=dict(levels)
            ) from error
        self._check(levels)
        return dict(levels)

    def state(self, options: Collection[str]) -> Mapping[str, Any]:
        """Return the power limit of every GPU, in milliwatts, and whether its clock will be locked."""
        limits_mw = (
            {gpu.uuid: self._nvml.nvmlDeviceGetPowerManagementLimit(gpu.handle) for gpu in self._gpus}
            if "gpu_power_limit_w" in options
            else {}
        )
        return {"limits_mw": limits_mw, "unlock": [gpu.uuid for gpu in self._gpus] if "gpu_clock_hz" in options else []}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the power limits back and unlock the clocks.

        Raises:
            ActuationError: If there is no driver any more, or it refuses.
        """
        if isinstance(self._nvml, Absent):
            raise ActuationError(f"actuator 'nvml' cannot restore: {self._nvml.reason}")
        try:
            for uuid, limit_mw in state["limits_mw"].items():
                self._nvml.nvmlDeviceSetPowerManagementLimit(self._nvml.nvmlDeviceGetHandleByUUID(uuid), int(limit_mw))
            for uuid in state["unlock"]:
                self._nvml.nvmlDeviceResetGpuLockedClocks(self._nvml.nvmlDeviceGetHandleByUUID(uuid))
        except self._nvml.NVMLError as error:
            raise ActuationError(f"actuator 'nvml' cannot restore: {error}") from error
        self._locked_hz = None

    def _lock(self, clock_hz: float | None) -> None:
        for gpu in self._gpus:
            if clock_hz is None:
                self._nvml.nvmlDeviceResetGpuLockedClocks(gpu.handle)
            else:
                clock_mhz = round(clock_hz * 1e-6)
                self._nvml.nvmlDeviceSetGpuLockedClocks(gpu.handle, clock_mhz, clock_mhz)
        self._locked_hz = clock_hz

    def _check(self, levels: Mapping[str, Level | None]) -> None:
        deadline = time.monotonic() + _SETTLES_S
        while True:
            back = self.read()
            wrong = [name for name, level in levels.items() if level is not None and not same_level(level, back[name])]
            if not wrong:
                return
            if time.monotonic() > deadline:
                told = "; ".join(f"{name}: asked {levels[name]}, found {back[name]}" for name in wrong)
                raise ActuationError(f"actuator 'nvml' did not take what was asked: {told}", asked=dict(levels))
            time.sleep(0.05)

    def _read_clock_hz(self) -> float | None:
        if self._locked_hz is None:
            return None
        clocks = {self._nvml.nvmlDeviceGetClockInfo(gpu.handle, self._nvml.NVML_CLOCK_SM) for gpu in self._gpus}
        return max(clocks) * 1e6 if len(clocks) == 1 else None

    def _read_limit_w(self) -> float | None:
        limits = {self._nvml.nvmlDeviceGetPowerManagementLimit(gpu.handle) for gpu in self._gpus}
        return max(limits) * 1e-3 if len(limits) == 1 else None

    def _clock(self) -> Option | None:
        common: set[int] | None = None
        for gpu in self._gpus:
            try:
                memory_mhz = max(self._nvml.nvmlDeviceGetSupportedMemoryClocks(gpu.handle))
                clocks = set(self._nvml.nvmlDeviceGetSupportedGraphicsClocks(gpu.handle, memory_mhz))
            except self._nvml.NVMLError_NotSupported:
                return None
            common = clocks if common is None else common & clocks
        levels = tuple(mhz * 1e6 for mhz in sorted(common or ()))
        if not levels:
            return None
        return Option(
            name="gpu_clock_hz",
            type="ordinal",
            values=levels,
            unit="Hz",
            scale="reciprocal",
            default=levels[-1],
            owner="actuator",
            description="Clock of the GPU, locked.",
        )

    def _limit(self) -> Option | None:
        bounds_mw = []
        for gpu in self._gpus:
            try:
                bounds_mw.append(self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu.handle))
            except self._nvml.NVMLError_NotSupported:
                return None
        low_w, high_w = max(low for low, _ in bounds_mw) * 1e-3, min(high for _, high in bounds_mw) * 1e-3
        if low_w >= high_w:
            return None
        return Option(
            name="gpu_power_limit_w",
            type="float",
            lower=low_w,
            upper=high_w,
            unit="W",
            default=high_w,
            owner="actuator",
            description="Power the GPU may draw.",
        )
