"""Processor energy from Intel's and AMD's running average power limit counters (Linux powercap).

Each package zone counts microjoules in `energy_uj` and wraps at `max_energy_range_uj`. The counter
moves about once a millisecond. Kernels since 5.10 let only root read it (CVE-2020-8694).

Source: Documentation/power/powercap/powercap.rst of the Linux kernel.
"""

from collections.abc import Mapping
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available

__all__ = ["ENERGY", "RaplMeter"]

ENERGY = Property("energy_j", "J", "minimise", "Energy of one run divided by the number of inputs it serves.")
POWERCAP = Path("/sys/class/powercap")


class RaplMeter:
    """Energy of all processor packages of this machine, whoever uses them, idle power included.

    Attributes:
        root: The powercap folder; a recorded tree in tests.
    """

    name = "rapl"
    properties = (ENERGY,)
    # A thousand counter updates: the last one is then worth 0.1 %.
    min_window_s = 1.0

    def __init__(self, root: Path | str = POWERCAP) -> None:
        self.root = Path(root)
        self._begin: dict[Path, int] = {}

    def zones(self) -> list[Path]:
        """Return the package zones, sorted; sub-zones (cores, memory) are parts of them and left out."""
        # intel-rapl:0 is a package, intel-rapl:0:1 a part of it. The MMIO interface
        # (intel-rapl-mmio:0) shows the same package a second time.
        found = (path for path in self.root.glob("intel-rapl:*") if path.name.count(":") == 1)
        return sorted(path for path in found if self._zone_name(path).startswith("package"))

    def availability(self) -> Availability:
        """Return whether every package counter can be read, and if not, why and what would help."""
        if not (self.root / "intel-rapl").exists() and not self.zones():
            return Absent(
                f"no {self.root}/intel-rapl: the kernel offers no processor energy counter (virtual machines seldom do)"
            )
        zones = self.zones()
        if not zones:
            return Absent(f"no package zone under {self.root}")
        for zone in zones:
            try:
                _counter(zone / "energy_uj")
            except PermissionError:
                return Absent(
                    f"{zone / 'energy_uj'} may be read by root only (kernel 5.10 and later); run as root, "
                    f"or allow it until the next boot: sudo chmod a+r {self.root}/intel-rapl:*/energy_uj"
                )
            except (OSError, ValueError) as error:
                return Absent(f"{zone / 'energy_uj'} cannot be read: {error}")
        return Available(f"{len(zones)} package counter{'s' if len(zones) > 1 else ''} under {self.root}")

    def start(self) -> None:
        """Read the counters.

        Raises:
            MeterUnavailableError: If a counter cannot be read.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'rapl': {availability.reason}", meter=self.name)
        self._begin = {zone: _counter(zone / "energy_uj") for zone in self.zones()}

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`, summed over packages.

        A window longer than one full range of a counter (minutes at least) cannot be told from a
        shorter one; the runner's windows are seconds.

        Raises:
            MeterUnavailableError: If a counter cannot be read any more.
        """
        total_uj = 0
        for zone, begin in self._begin.items():
            try:
                end = _counter(zone / "energy_uj")
                # The counter restarts at 0 after max_energy_range_uj.
                total_uj += end - begin if end >= begin else end - begin + _counter(zone / "max_energy_range_uj")
            except (OSError, ValueError) as error:
                raise MeterUnavailableError(f"meter 'rapl': {zone} cannot be read any more: {error}") from error
        self._begin = {}
        return {ENERGY.name: total_uj * 1e-6}

    @staticmethod
    def _zone_name(zone: Path) -> str:
        try:
            return (zone / "name").read_text().strip()
        except OSError:
            return ""


def _counter(path: Path) -> int:
    return int(path.read_text())
