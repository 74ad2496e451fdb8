"""Power rails of NVIDIA Jetson boards: INA3221 monitors on the board, three rails each.

Two kernel interfaces show the same chip. L4T up to 32 (TX1, TX2, Nano, Xavier) has the driver
`ina3221x` with `rail_name_N` and `in_power<N>_input` in milliwatts under an iio device; later ones
(Orin) have the mainline driver `ina3221` with `inN_label`, millivolts and milliamperes under hwmon.

The rails nest: VDD_IN feeds the module's others, so they must not be added up. The whole module is
VDD_IN (POM_5V_IN on the Nano); boards without such a rail have parallel ones that do add up.

Source: NVIDIA Jetson Linux Developer Guide, "Clock Frequency and Power Management"; and
Documentation/hwmon/ina3221.rst of the Linux kernel. Not run on hardware.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.meters.power import Integral, PowerSampler
from perfport.measure.meters.properties import part_energy

__all__ = ["JetsonMeter", "Rail"]

# Where the OpML 2019 study read the power of the whole module: on the TX1 and on the TX2.
OPML19_TOTAL = (
    "devices/platform/7000c400.i2c/i2c-1/1-0040/iio_device/in_power0_input",
    "bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input",
)
# The first set of which every rail is there is the whole module.
_WHOLE_MODULE = (
    ("VDD_IN",),  # TX1, TX2, Xavier NX, Orin NX, Orin Nano
    ("POM_5V_IN",),  # Nano
    ("5V_IN",),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin; VDDQ_VDD2_1V8AO hangs below VIN_SYS_5V0
)


@dataclass(frozen=True, slots=True)
class Rail:
    """One supply line.

    Attributes:
        name: As on the board's schematic.
        files: One file in milliwatts, or one in millivolts and one in milliamperes.
    """

    name: str
    files: tuple[Path, ...]

    def power_w(self) -> float:
        """Read it, in watts.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If it holds no number.
        """
        values = [float(file.read_text()) for file in self.files]
        return values[0] * 1e-3 if len(values) == 1 else values[0] * values[1] * 1e-6


class JetsonMeter:
    """Energy of every rail, each in a column of its own, by integrated power.

    Attributes:
        sysfs: Root of the sysfs tree; a recorded one in tests.
        interval_s: Pause between two readings; one takes about a millisecond a rail on the I2C bus.
    """

    name = "jetson"
    # Twenty readings at least; the chip itself averages over a few milliseconds.
    min_window_s = 1.0

    def __init__(self, sysfs: Path | str = "/sys", *, interval_s: float = 0.05) -> None:
        self.sysfs = Path(sysfs)
        self.interval_s = interval_s
        self._sampler: PowerSampler | None = None
        self._last: Integral | None = None

    @property
    def properties(self) -> tuple[Property, ...]:
        """One for each rail; that of the whole module where there is none."""
        return tuple(part_energy(rail.name, f"rail {rail.name}") for rail in self.rails()) or (part_energy("VDD_IN"),)

    def rails(self) -> list[Rail]:
        """Return the rails that can be told by name, sorted by name."""
        folders: dict[Path, Path] = {}
        for driver in ("ina3221", "ina3221x"):
            for chip in sorted((self.sysfs / "bus" / "i2c" / "drivers" / driver).glob("*-00*")):
                for pattern in ("iio:device*", "iio_device", "hwmon/hwmon*"):
                    # iio_device is a link to iio:device0.
                    folders |= {folder.resolve(): folder for folder in sorted(chip.glob(pattern))}
        rails = [rail for folder in folders.values() for rail in (*_iio_rails(folder), *_hwmon_rails(folder))]
        if not rails:
            # Kernels so old that the driver names no rails: the place the study read.
            rails = [Rail("VDD_IN", (path,)) for path in self._opml19_paths()[:1]]
        found = {rail.name: rail for rail in rails}
        return [found[name] for name in sorted(found)]

    def whole_module(self) -> tuple[str, ...]:
        """Return the rails that add up to the whole module; none if the board is not known."""
        names = {rail.name for rail in self.rails()}
        return next((rails for rails in _WHOLE_MODULE if names.issuperset(rails)), ())

    def availability(self) -> Availability:
        """Return the rails found, or that there are none."""
        rails = self.rails()
        if not rails:
            return Absent(f"no INA3221 power monitor under {self.sysfs}/bus/i2c/drivers/ina3221 or ina3221x")
        try:
            for rail in rails:
                rail.power_w()
        except (OSError, ValueError) as error:
            return Absent(f"rail {rail.name} cannot be read: {error}; run as root")
        return Available(f"{len(rails)} rail{'s' if len(rails) > 1 else ''}: {', '.join(rail.name for rail in rails)}")

    def start(self) -> None:
        """Begin to read.

        Raises:
            MeterUnavailableError: If a rail cannot be read.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'jetson': {availability.reason}", meter=self.name)
        rails = self.rails()
        self._sampler = PowerSampler(lambda: {rail.name: rail.power_w() for rail in rails}, self.interval_s)
        self._sampler.start()

    def stop(self) -> Mapping[str, float]:
        """Return the joules of every rail since `start`.

        Raises:
            MeterUnavailableError: If a rail could not be read in between.
        """
        if self._sampler is None:
            raise MeterUnavailableError("meter 'jetson' was not started", meter=self.name)
        sampler, self._sampler = self._sampler, None
        self._last = sampler.stop()
        return {part_energy(rail).name: energy_j for rail, energy_j in self._last.energies_j.items()}

    def provenance(self) -> Mapping[str, object]:
        """Return how the power of the last window was read, and at what cost."""
        return self._last.provenance() if self._last is not None else {}

    def _opml19_paths(self) -> list[Path]:
        return [path for path in (self.sysfs / relative for relative in OPML19_TOTAL) if path.exists()]


def _iio_rails(folder: Path) -> list[Rail]:
    named = ((_text(file), file.name.rpartition("_")[2]) for file in sorted(folder.glob("rail_name_*")))
    return [
        Rail(name, (folder / f"in_power{number}_input",))
        for name, number in named
        if name and (folder / f"in_power{number}_input").exists()
    ]


def _hwmon_rails(folder: Path) -> list[Rail]:
    rails = []
    for label in sorted(folder.glob("in[1-3]_label")):
        number = label.name[2]
        name = _text(label)
        files = (folder / f"in{number}_input", folder / f"curr{number}_input")
        # NC is a channel that is not connected; in7 ("sum of shunt voltages") is no rail.
        if name not in ("", "NC") and _text(folder / f"in{number}_enable") != "0" and all(f.exists() for f in files):
            rails.append(Rail(name, files))
    return rails


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
