"""Power and energy sensors of the hardware monitoring class: INA226 and its kin, amd_energy, board sensors.

Sensors tell watts (`power1_input`, microwatts), joules since boot (`energy1_input`, microjoules), or
volts and amperes (`in1_input` in millivolts with `curr1_input` in milliamperes). What a sensor
measures only its board's maker knows, so each has a column of its own and they are never added up.

Source: Documentation/hwmon/sysfs-interface.rst and ina2xx.rst of the Linux kernel. Not run on hardware.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.meters.power import Integral, PowerSampler
from perfport.measure.meters.properties import part_energy

__all__ = ["HwmonMeter", "Sensor"]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor.

    Attributes:
        name: Chip and label, or chip and number.
        files: What is read.
        factor: From the product of the files to watts, or joules for a counter.
        is_counter: Whether it counts joules.
    """

    name: str
    files: tuple[Path, ...]
    factor: float
    is_counter: bool = False

    def read(self) -> float:
        """Read it, in watts or, of a counter, in joules.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If it holds no number.
        """
        product = 1.0
        for file in self.files:
            product *= float(file.read_text())
        return product * self.factor


class HwmonMeter:
    """Energy of every sensor, each in a column of its own: counted, or by integrated power.

    Attributes:
        root: The hwmon class folder; a recorded tree in tests.
        interval_s: Pause between two readings of the sensors that tell watts.
    """

    name = "hwmon"
    min_window_s = 1.0

    def __init__(self, root: Path | str = "/sys/class/hwmon", *, interval_s: float = 0.05) -> None:
        self.root = Path(root)
        self.interval_s = interval_s
        self._sampler: PowerSampler | None = None
        self._last: Integral | None = None
        self._begin_j: dict[str, float] = {}

    @property
    def properties(self) -> tuple[Property, ...]:
        """One for each sensor."""
        return tuple(part_energy(f"hwmon {sensor.name}") for sensor in self.sensors()) or (part_energy("hwmon"),)

    def sensors(self) -> list[Sensor]:
        """Return the sensors, of each channel the one that loses least: counter, power, volts times amperes."""
        found: dict[str, Sensor] = {}
        for folder in sorted(self.root.glob("hwmon*"), key=lambda path: (len(path.name), path.name)):
            chip = _text(folder / "name") or folder.name
            if chip.startswith("ina3221"):
                continue  # the rails of a Jetson, which meter 'jetson' names
            for sensor in _sensors_of(folder, chip):
                # Two chips of a kind: the folder tells them apart.
                name = sensor.name if sensor.name not in found else f"{folder.name} {sensor.name}"
                found[name] = Sensor(name, sensor.files, sensor.factor, sensor.is_counter)
        return list(found.values())

    def availability(self) -> Availability:
        """Return the sensors found, or that there are none."""
        sensors = self.sensors()
        if not sensors:
            return Absent(f"no power or energy sensor under {self.root}")
        try:
            for sensor in sensors:
                sensor.read()
        except (OSError, ValueError) as error:
            return Absent(f"sensor {sensor.name} cannot be read: {error}; run as root if it is not permitted")
        return Available(
            f"{len(sensors)} sensor{'s' if len(sensors) > 1 else ''}: {', '.join(s.name for s in sensors)}"
        )

    def start(self) -> None:
        """Begin to read.

        Raises:
            MeterUnavailableError: If a sensor cannot be read.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'hwmon': {availability.reason}", meter=self.name)
        sensors = self.sensors()
        powers = [sensor for sensor in sensors if not sensor.is_counter]
        self._sampler = (
            PowerSampler(lambda: {sensor.name: sensor.read() for sensor in powers}, self.interval_s) if powers else None
        )
        self._last = None
        try:
            self._begin_j = {sensor.name: sensor.read() for sensor in sensors if sensor.is_counter}
        except (OSError, ValueError) as error:
            raise MeterUnavailableError(f"meter 'hwmon': a counter cannot be read any more: {error}") from error
        if self._sampler is not None:
            self._sampler.start()

    def stop(self) -> Mapping[str, float]:
        """Return the joules of every sensor since `start`.

        Raises:
            MeterUnavailableError: If a sensor could not be read in between, or a counter went backwards.
        """
        energies_j: dict[str, float] = {}
        if self._sampler is not None:
            self._last = self._sampler.stop()
            energies_j |= self._last.energies_j
        for sensor in self.sensors():
            if sensor.name in self._begin_j:
                try:
                    energies_j[sensor.name] = sensor.read() - self._begin_j[sensor.name]
                except (OSError, ValueError) as error:
                    raise MeterUnavailableError(f"meter 'hwmon': {sensor.name} cannot be read any more") from error
                if energies_j[sensor.name] <= 0:
                    # The class has no file for the range of a counter, so one that wrapped cannot be mended.
                    raise MeterUnavailableError(f"meter 'hwmon': counter {sensor.name} did not go forwards")
        self._sampler = None
        return {part_energy(f"hwmon {name}").name: energy_j for name, energy_j in energies_j.items()}

    def provenance(self) -> Mapping[str, object]:
        """Return which sensors counted and how the others were integrated."""
        counters = {"kind": "counter", "parts": sorted(self._begin_j)}
        if self._last is None:
            return counters
        return self._last.provenance() | ({"counters": sorted(self._begin_j)} if self._begin_j else {})


def _sensors_of(folder: Path, chip: str) -> list[Sensor]:
    sensors = []
    taken: set[str] = set()
    for pattern, factor, is_counter in (
        ("energy*_input", 1e-6, True),
        ("power*_input", 1e-6, False),
        ("power*_average", 1e-6, False),
    ):
        for file in sorted(folder.glob(pattern)):
            channel = "".join(filter(str.isdigit, file.name))
            if channel not in taken:
                taken.add(channel)
                sensors.append(Sensor(_name(folder, chip, file), (file,), factor, is_counter))
    if not taken:
        # Without a power channel: volts times amperes, of channels that have both (not of fan controllers' inputs).
        for file in sorted(folder.glob("curr*_input")):
            volts = folder / file.name.replace("curr", "in")
            if volts.exists():
                sensors.append(Sensor(_name(folder, chip, file), (volts, file), 1e-6))
    return sensors


def _name(folder: Path, chip: str, file: Path) -> str:
    stem = file.name.rpartition("_")[0]
    return f"{chip} {_text(folder / f'{stem}_label') or stem}"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
