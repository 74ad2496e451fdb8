"""The energy of this machine: the sources that see most of it, or why there is none.

Absent is absent: there is no estimate from load and no zero. Every place looked at is named in the
reason, so that "no energy here" can be checked by hand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available, Meter, TellsProvenance
from perfport.measure.meters.battery import BatteryMeter
from perfport.measure.meters.hwmon import HwmonMeter
from perfport.measure.meters.jetson import JetsonMeter
from perfport.measure.meters.nvml import NvmlMeter
from perfport.measure.meters.properties import ENERGY, part_energy
from perfport.measure.meters.rapl import RaplMeter

__all__ = ["EnergyMeter"]


class EnergyMeter:
    """Reads `energy_j`.

    From the first of these that is there:

    1. the rails of a Jetson that add up to the whole module;
    2. processor packages, memory and GPUs, those of them that can be read, added up;
    3. the sensor of the hardware monitor, if there is exactly one;
    4. the battery, while it discharges.

    They see different parts of a machine, so energies compare within a source only; which one it was,
    and which parts it added up, is stored with every row.

    Attributes:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    name = "energy"
    properties: tuple[Property, ...] = (ENERGY,)

    def __init__(self, sysfs: Path | str = "/sys", *, nvml: Any = None) -> None:
        self.sysfs = Path(sysfs)
        self._jetson = JetsonMeter(self.sysfs)
        self._chips: tuple[Meter, ...] = (RaplMeter(self.sysfs / "class" / "powercap"), NvmlMeter(nvml))
        self._hwmon = HwmonMeter(self.sysfs / "class" / "hwmon")
        self._battery = BatteryMeter(self.sysfs / "class" / "power_supply")
        self._started: list[Meter] = []
        self._provenance: dict[str, object] = {}

    @property
    def min_window_s(self) -> float:
        """Shortest usable window of the sources in use, in seconds."""
        return max((source.min_window_s for source in self._sources()[0]), default=0.0)

    def availability(self) -> Availability:
        """Return the sources in use, or what was looked for and not found."""
        sources, said = self._sources()
        return Available("; ".join(said)) if sources else Absent("; ".join(said))

    def start(self) -> None:
        """Begin a window.

        Raises:
            MeterUnavailableError: If no source can be read.
        """
        sources, said = self._sources()
        if not sources:
            raise MeterUnavailableError(f"meter 'energy': {'; '.join(said)}", meter=self.name)
        self._started = []
        for source in sources:
            try:
                source.start()
            except MeterUnavailableError:
                self._stop_all()
                raise
            self._started.append(source)

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`, all sources in use.

        Raises:
            MeterUnavailableError: If one of them cannot be read any more: the rest is not the energy of this machine.
        """
        sources = list(self._started)
        read, problem = self._stop_all()
        if problem is not None:
            raise problem
        how = {source.name: dict(source.provenance()) for source in sources if isinstance(source, TellsProvenance)}
        if "jetson" in how:
            rails = self._jetson.whole_module()
            read = {part_energy(rail).name: read[part_energy(rail).name] for rail in rails}
        self._provenance = {"sources": how, "added_up": sorted(read)}
        return {ENERGY.name: sum(read.values())}

    def provenance(self) -> Mapping[str, object]:
        """Return the sources of the last window, and the energies that were added up."""
        return self._provenance

    def _stop_all(self) -> tuple[dict[str, float], MeterUnavailableError | None]:
        """Stop every source that was started, also behind one that fails: no thread may go on reading."""
        read: dict[str, float] = {}
        problem: MeterUnavailableError | None = None
        for source in self._started:
            try:
                read |= source.stop()
            except MeterUnavailableError as error:
                problem = problem or error
        self._started = []
        return read, problem

    def _sources(self) -> tuple[list[Meter], list[str]]:
        """Return what is read here, and what is said about it; nothing, and every reason, if nothing is."""
        said = []
        jetson = self._jetson.availability()
        if isinstance(jetson, Available) and self._jetson.whole_module():
            return [self._jetson], [f"jetson: {' + '.join(self._jetson.whole_module())}"]
        said.append(
            f"jetson: {jetson.reason}"
            if isinstance(jetson, Absent)
            else "jetson: it is not known which of its rails are the whole module; meter 'jetson' reads each"
        )
        asked = [(chip, chip.availability()) for chip in self._chips]
        if any(isinstance(found, Available) for _, found in asked):
            # What is missing of the machine is said as well: GPU energy alone is not that of the machine.
            said = [
                f"{chip.name}: {found.detail if isinstance(found, Available) else found.reason}"
                for chip, found in asked
            ]
            return [chip for chip, found in asked if isinstance(found, Available)], said
        said += [f"{chip.name}: {found.reason}" for chip, found in asked if isinstance(found, Absent)]
        hwmon = self._hwmon.availability()
        if isinstance(hwmon, Available) and len(self._hwmon.sensors()) == 1:
            return [self._hwmon], [f"hwmon: {hwmon.detail}"]
        said.append(
            f"hwmon: {hwmon.reason}"
            if isinstance(hwmon, Absent)
            else f"hwmon: {hwmon.detail}; which is the machine is not known; meter 'hwmon' reads each"
        )
        battery = self._battery.availability()
        if isinstance(battery, Available):
            return [self._battery], [f"battery: {battery.detail}"]
        return [], [*said, f"battery: {battery.reason}"]
