"""Energy as zeus sees it (`ml-energy/zeus`): a plug-in meter, for hardware it reads and we do not (AMD, Apple).

zeus answers 0 J, or an empty mapping, for hardware that is not there. Here that is absent: the
meter exists only if zeus names at least one device, and a device that reads 0 over a window is an
error, not a saving.
"""

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.meters.properties import part_energy

__all__ = ["ZeusMeter"]

ZEUS = part_energy("zeus", "all GPUs, processor packages and memory that zeus reads")
_WINDOW = "perfport"


class ZeusMeter:
    """Energy of every GPU, package and memory zeus finds, added up.

    Boards and systems on a chip, of which zeus reports nested parts, are left to meter `jetson`.
    """

    name = "zeus"
    properties: tuple[Property, ...] = (ZEUS,)
    # As for the counters it reads: NVML's are renewed every 20 to 100 ms.
    min_window_s = 2.0

    def __init__(self, make_monitor: Callable[[], Any] | None = None) -> None:
        """Choose how the monitor is made; zeus's own if None."""
        self._make_monitor = make_monitor or _zeus_monitor
        self._monitor: Any = None
        self._provenance: dict[str, object] = {}

    def availability(self) -> Availability:
        """Return the devices zeus names, or that it names none."""
        if self._make_monitor is _zeus_monitor and importlib.util.find_spec("zeus") is None:
            return Absent('package zeus is not installed: pip install "perfport[gpu]"')
        try:
            monitor = self._monitor or self._make_monitor()
        except Exception as error:  # noqa: BLE001  # whatever a foreign library raises while it looks around
            return Absent(f"zeus cannot start: {type(error).__name__}: {error}")
        gpus, cpus = list(monitor.gpu_indices), list(monitor.cpu_indices)
        if not gpus and not cpus:
            return Absent("zeus finds no GPU and no readable processor counter (it would report 0 J)")
        self._monitor = monitor
        return Available(f"GPUs {gpus}, processor packages {cpus}")

    def start(self) -> None:
        """Begin a window.

        Raises:
            MeterUnavailableError: If zeus finds no device.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'zeus': {availability.reason}", meter=self.name)
        # The child has waited for its device; there is nothing in this process to synchronise.
        self._monitor.begin_window(_WINDOW, sync_execution=False, restart=True)

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`, all devices.

        Raises:
            MeterUnavailableError: If a device read nothing.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zeus warns of a zero, which is an error below
            window = self._monitor.end_window(_WINDOW, sync_execution=False)
        read = {f"gpu {index}": energy_j for index, energy_j in window.gpu_energy.items()}
        read |= {f"cpu {index}": energy_j for index, energy_j in (window.cpu_energy or {}).items()}
        read |= {f"dram {index}": energy_j for index, energy_j in (window.dram_energy or {}).items()}
        silent = [device for device, energy_j in read.items() if not energy_j > 0]
        if silent or not read:
            raise MeterUnavailableError(f"meter 'zeus': 0 J of {', '.join(silent) or 'no device'}: nothing was read")
        self._provenance = {"kind": "counter", "parts": sorted(read), "source": "zeus"}
        return {ZEUS.name: sum(read.values())}

    def provenance(self) -> Mapping[str, object]:
        """Return the devices that were read; zeus itself integrates power on GPUs older than Volta."""
        return self._provenance


def _zeus_monitor() -> Any:
    from zeus.monitor import ZeusMonitor

    return ZeusMonitor()
