"""The energy meter of this machine: the first source that can be read, or why there is none.

Absent is absent: there is no estimate from load and no zero. Every place looked at is named in the
reason, so that "no energy here" can be checked by hand.
"""

from collections.abc import Mapping
from ctypes.util import find_library
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available, Meter
from perfport.measure.meters.rapl import ENERGY, RaplMeter

__all__ = ["EnergyMeter"]


class EnergyMeter:
    """Reads `energy_j` from the best source this machine has.

    Attributes:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    name = "energy"
    properties: tuple[Property, ...] = (ENERGY,)

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        self.sysfs = Path(sysfs)
        self._sources: tuple[Meter, ...] = (RaplMeter(self.sysfs / "class" / "powercap"),)

    @property
    def min_window_s(self) -> float:
        """Shortest usable window of the source in use, in seconds."""
        source = self._source()
        return source.min_window_s if source is not None else 0.0

    def availability(self) -> Availability:
        """Return the source in use, or what was looked for and not found."""
        reasons = []
        for source in self._sources:
            availability = source.availability()
            if isinstance(availability, Available):
                return Available(f"{source.name}: {availability.detail}")
            reasons.append(f"{source.name}: {availability.reason}")
        return Absent("; ".join([*reasons, *self._unread_sensors()]))

    def start(self) -> None:
        """Begin a window.

        Raises:
            MeterUnavailableError: If no source can be read.
        """
        source = self._source()
        if source is None:
            availability = self.availability()
            reason = availability.reason if isinstance(availability, Absent) else "the source went away"
            raise MeterUnavailableError(f"meter 'energy': {reason}", meter=self.name)
        source.start()
        self._started = source

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`."""
        return self._started.stop()

    def _source(self) -> Meter | None:
        return next((source for source in self._sources if isinstance(source.availability(), Available)), None)

    def _unread_sensors(self) -> list[str]:
        """Say of every other kind of sensor whether it is there; one that is there has no reader yet."""
        found = {
            "hwmon": sorted((self.sysfs / "class" / "hwmon").glob("*/energy*_input"))
            + sorted((self.sysfs / "class" / "hwmon").glob("*/power*_input")),
            "INA rails": sorted((self.sysfs / "bus" / "i2c" / "drivers").glob("ina*/*/iio*/in_power*")),
            "battery": sorted((self.sysfs / "class" / "power_supply").glob("BAT*/power_now")),
        }
        said = [
            f"{kind}: {paths[0]} is there, but no meter for it is built in" if paths else f"{kind}: none"
            for kind, paths in found.items()
        ]
        library = find_library("nvidia-ml")
        said.append(
            f"NVML: {library} is there, but no meter for it is built in" if library else "NVML: no library libnvidia-ml"
        )
        return said
