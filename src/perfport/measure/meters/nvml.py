"""GPU energy through NVIDIA's management library.

Since Volta the driver counts millijoules (`nvmlDeviceGetTotalEnergyConsumption`, renewed every 20 to
100 ms); older GPUs tell watts, which are integrated. Whole devices, whoever uses them: those that
CUDA_VISIBLE_DEVICES names.

Source: NVML API Reference, "Device Queries". Tested with a constructed library; not run on hardware.
"""

from collections.abc import Mapping
from typing import Any

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.machine.nvidia import Gpu, open_nvml, visible_gpus
from perfport.measure.meters.power import Integral, PowerSampler
from perfport.measure.meters.properties import part_energy

__all__ = ["NvmlMeter"]

GPU = part_energy("gpu", "all visible GPUs")


class NvmlMeter:
    """Energy of all visible GPUs together: counted where they all count, else by integrated power.

    Attributes:
        interval_s: Pause between two readings of power; the driver renews it every 20 to 100 ms.
    """

    name = "nvml"
    properties: tuple[Property, ...] = (GPU,)
    # Twenty updates of the slowest counter.
    min_window_s = 2.0

    def __init__(self, nvml: Any = None, *, interval_s: float = 0.1) -> None:
        self.interval_s = interval_s
        self._given = nvml
        self._nvml: Any = None
        self._gpus: list[Gpu] = []
        self._begin_mj: list[int] = []
        self._sampler: PowerSampler | None = None
        self._provenance: dict[str, object] = {}

    def availability(self) -> Availability:
        """Return the GPUs and how they tell their energy, or why there is none."""
        nvml = open_nvml(self._given)
        if isinstance(nvml, Absent):
            return nvml
        try:
            gpus = visible_gpus(nvml)
            if not gpus:
                return Absent("CUDA_VISIBLE_DEVICES names no GPU")
            how = "energy counter" if _counters_mj(nvml, gpus) is not None else "integrated power"
            if how != "energy counter":
                _powers_w(nvml, gpus)
        except nvml.NVMLError as error:
            return Absent(f"the GPU tells neither energy nor power: {error}")
        except (OSError, ValueError) as error:
            return Absent(f"the GPU tells neither energy nor power: {error}")
        self._nvml, self._gpus = nvml, gpus
        return Available(f"{', '.join(gpu.name for gpu in gpus)}: {how}")

    def start(self) -> None:
        """Begin a window.

        Raises:
            MeterUnavailableError: If there is no GPU or it cannot be read.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'nvml': {availability.reason}", meter=self.name)
        nvml, gpus = self._nvml, self._gpus
        self._sampler = None
        begin_mj = _counters_mj(nvml, gpus)
        if begin_mj is not None:
            self._begin_mj = begin_mj
        else:
            self._sampler = PowerSampler(lambda: _powers_w(nvml, gpus), self.interval_s)
            self._sampler.start()

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`.

        Raises:
            MeterUnavailableError: If a GPU cannot be read any more, or its counter did not move.
        """
        if self._sampler is not None:
            integral: Integral = self._sampler.stop()
            self._provenance = integral.provenance()
            return {GPU.name: sum(integral.energies_j.values())}
        try:
            end_mj = [self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle) for gpu in self._gpus]
        except self._nvml.NVMLError as error:
            raise MeterUnavailableError(f"meter 'nvml': the GPU cannot be read any more: {error}") from error
        moved_mj = [end - begin for begin, end in zip(self._begin_mj, end_mj, strict=True)]
        for gpu, moved in zip(self._gpus, moved_mj, strict=True):
            # The counter starts at 0 when the driver is loaded again.
            if moved <= 0:
                raise MeterUnavailableError(f"meter 'nvml': the energy counter of {gpu.name} did not go forwards")
        self._provenance = {"kind": "counter", "parts": [gpu.uuid for gpu in self._gpus]}
        return {GPU.name: sum(moved_mj) * 1e-3}

    def provenance(self) -> Mapping[str, object]:
        """Return which GPUs counted, or how their power was integrated."""
        return self._provenance


def _counters_mj(nvml: Any, gpus: list[Gpu]) -> list[int] | None:
    """Return what the counters show; None if one of the GPUs has none."""
    try:
        return [nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle) for gpu in gpus]
    except nvml.NVMLError:
        return None


def _powers_w(nvml: Any, gpus: list[Gpu]) -> dict[str, float]:
    try:
        return {gpu.uuid: nvml.nvmlDeviceGetPowerUsage(gpu.handle) * 1e-3 for gpu in gpus}
    except nvml.NVMLError as error:
        raise OSError(f"NVML: {error}") from error
