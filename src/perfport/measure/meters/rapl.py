"""Processor and memory energy from Intel's and AMD's running average power limit counters (Linux powercap).

Each zone counts microjoules in `energy_uj` and wraps at `max_energy_range_uj`. The counter moves
about once a millisecond. Kernels since 5.10 let only root read it (CVE-2020-8694).

Source: Documentation/power/powercap/powercap.rst of the Linux kernel.
"""

from collections.abc import Mapping
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.meters.properties import part_energy

__all__ = ["RaplMeter"]

POWERCAP = Path("/sys/class/powercap")
CPU, DRAM = part_energy("cpu", "all processor packages"), part_energy("dram", "the memory on all packages' channels")


class RaplMeter:
    """Energy of all processor packages, and of the memory where it is counted, whoever uses them.

    Attributes:
        root: The powercap folder; a recorded tree in tests.
    """

    name = "rapl"
    # A thousand counter updates: the last one is then worth 0.1 %.
    min_window_s = 1.0

    def __init__(self, root: Path | str = POWERCAP) -> None:
        self.root = Path(root)
        self._begin: dict[Path, int] = {}

    @property
    def properties(self) -> tuple[Property, ...]:
        """Processor energy; memory energy where there are zones for it."""
        return (CPU, DRAM) if any(read is DRAM for read in self.zones().values()) else (CPU,)

    def zones(self) -> dict[Path, Property]:
        """Return the zones that are read, and what each counts towards.

        Packages and memory: they do not overlap. Cores and graphics (`core`, `uncore`) are parts of a
        package; `psys`, the whole platform, contains packages; both would count twice. The MMIO interface
        (intel-rapl-mmio:0) shows the same package again.
        """
        found: dict[Path, Property] = {}
        for zone in sorted(self.root.glob("intel-rapl:*")):
            name, depth = _text(zone / "name"), zone.name.count(":")
            if depth == 1 and name.startswith("package"):
                found[zone] = CPU
            elif depth == 2 and name == "dram":
                found[zone] = DRAM
        return found

    def availability(self) -> Availability:
        """Return whether every counter can be read, and if not, why and what would help."""
        zones = self.zones()
        if not zones and not (self.root / "intel-rapl").exists():
            return Absent(
                f"no {self.root}/intel-rapl: the kernel offers no processor energy counter (virtual machines seldom do)"
            )
        if not zones:
            return Absent(f"no package zone under {self.root}")
        for zone in zones:
            try:
                _counter(zone / "energy_uj")
                _counter(zone / "max_energy_range_uj")
            except PermissionError:
                return Absent(
                    f"{zone / 'energy_uj'} may be read by root only (kernel 5.10 and later); run as root, "
                    f"or allow it until the next boot: sudo chmod a+r {self.root}/intel-rapl:*/energy_uj "
                    f"{self.root}/intel-rapl:*:*/energy_uj"
                )
            except (OSError, ValueError) as error:
                return Absent(f"{zone / 'energy_uj'} cannot be read: {error}")
        n_dram = sum(read is DRAM for read in zones.values())
        memory = f" and {n_dram} of memory" if n_dram else ", none of memory"
        n_packages = len(zones) - n_dram
        return Available(f"{n_packages} package counter{'s' if n_packages > 1 else ''}{memory} under {self.root}")

    def start(self) -> None:
        """Read the counters.

        Raises:
            MeterUnavailableError: If a counter cannot be read.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'rapl': {availability.reason}", meter=self.name)
        try:
            self._begin = {zone: _counter(zone / "energy_uj") for zone in self.zones()}
        except (OSError, ValueError) as error:
            raise MeterUnavailableError(f"meter 'rapl': a counter cannot be read any more: {error}") from error

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`, summed over packages.

        A window longer than one full range of a counter (minutes at least) cannot be told from a
        shorter one; the runner's windows are seconds.

        Raises:
            MeterUnavailableError: If a counter cannot be read any more, or none of a kind has moved.
        """
        zones = self.zones()
        totals_uj: dict[str, int] = {}
        for zone, begin in self._begin.items():
            try:
                end = _counter(zone / "energy_uj")
                # The counter restarts at 0 after max_energy_range_uj.
                moved_uj = end - begin if end >= begin else end - begin + _counter(zone / "max_energy_range_uj")
                name = zones[zone].name
            except (OSError, ValueError, KeyError) as error:
                raise MeterUnavailableError(f"meter 'rapl': {zone} cannot be read any more: {error}") from error
            totals_uj[name] = totals_uj.get(name, 0) + moved_uj
        self._begin = {}
        still = [name for name, total in totals_uj.items() if total == 0]
        if still:
            # HW: some virtual machines show counters that never count.
            raise MeterUnavailableError(f"meter 'rapl': the counters of {', '.join(still)} did not move")
        return {name: total * 1e-6 for name, total in totals_uj.items()}

    def provenance(self) -> Mapping[str, object]:
        """Return which zones were counted."""
        return {"kind": "counter", "parts": [f"{zone.name} {_text(zone / 'name')}" for zone in self.zones()]}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _counter(path: Path) -> int:
    return int(path.read_text())
