"""What a battery gives while it discharges: laptops, phones and robots without a better sensor.

The gauge tells microwatts (`power_now`) or microvolts and microamperes (`voltage_now`,
`current_now`), renewed every few seconds, so windows are long. On mains power the battery gives
nothing and says nothing about the machine: absent.

Source: Documentation/ABI/testing/sysfs-class-power of the Linux kernel. Not run on hardware.
"""

from collections.abc import Mapping
from pathlib import Path

from perfport.data.measurement import Property
from perfport.errors import MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available
from perfport.measure.meters.power import Integral, PowerSampler
from perfport.measure.meters.properties import part_energy

__all__ = ["BatteryMeter"]

BATTERY = part_energy("battery", "everything the batteries feed, display and radios included,")


class BatteryMeter:
    """Energy all batteries together gave.

    Attributes:
        root: The power supply class folder; a recorded tree in tests.
        interval_s: Pause between two readings.
    """

    name = "battery"
    properties: tuple[Property, ...] = (BATTERY,)

    def __init__(
        self, root: Path | str = "/sys/class/power_supply", *, interval_s: float = 1.0, min_window_s: float = 20.0
    ) -> None:
        self.root = Path(root)
        self.interval_s = interval_s
        # Gauges are renewed every one to five seconds.
        self.min_window_s = min_window_s
        self._sampler: PowerSampler | None = None
        self._last: Integral | None = None

    def availability(self) -> Availability:
        """Return whether a battery discharges and tells its power."""
        batteries = self._batteries()
        if not batteries:
            return Absent(f"no battery under {self.root}")
        try:
            powers_w = self._powers_w()
        except (OSError, ValueError) as error:
            return Absent(str(error))
        if sum(powers_w.values()) <= 0:
            return Absent(f"{', '.join(powers_w)} tells a power of 0; its gauge does not measure it")
        return Available(f"{', '.join(powers_w)}, discharging at {sum(powers_w.values()):.1f} W")

    def start(self) -> None:
        """Begin to read.

        Raises:
            MeterUnavailableError: If no battery discharges.
        """
        availability = self.availability()
        if isinstance(availability, Absent):
            raise MeterUnavailableError(f"meter 'battery': {availability.reason}", meter=self.name)
        self._sampler = PowerSampler(self._powers_w, self.interval_s)
        self._sampler.start()

    def stop(self) -> Mapping[str, float]:
        """Return the joules since `start`.

        Raises:
            MeterUnavailableError: If a battery stopped discharging in between.
        """
        if self._sampler is None:
            raise MeterUnavailableError("meter 'battery' was not started", meter=self.name)
        sampler, self._sampler = self._sampler, None
        self._last = sampler.stop()
        return {BATTERY.name: sum(self._last.energies_j.values())}

    def provenance(self) -> Mapping[str, object]:
        """Return how the power of the last window was read, and at what cost."""
        return self._last.provenance() | {"kind": "battery"} if self._last is not None else {}

    def _batteries(self) -> list[Path]:
        # A scope of "Device" is the battery of a mouse or a headset.
        return [
            folder
            for folder in sorted(self.root.glob("*"))
            if _text(folder / "type") == "Battery" and _text(folder / "scope") != "Device"
        ]

    def _powers_w(self) -> dict[str, float]:
        """Return battery -> watts it gives; ValueError if one does not discharge or tells no power."""
        powers_w: dict[str, float] = {}
        for folder in self._batteries():
            status = _text(folder / "status")
            if status != "Discharging":
                raise ValueError(f"{folder.name} is not discharging ({status or 'no status'}); unplug the charger")
            if (folder / "power_now").exists():
                # HW: some gauges show discharge as a negative number.
                powers_w[folder.name] = abs(float((folder / "power_now").read_text())) * 1e-6
            elif (folder / "current_now").exists() and (folder / "voltage_now").exists():
                volts_times_amperes = float((folder / "voltage_now").read_text()) * float(
                    (folder / "current_now").read_text()
                )
                powers_w[folder.name] = abs(volts_times_amperes) * 1e-12
            else:
                raise ValueError(f"{folder.name} has neither power_now nor current_now: its gauge tells no power")
        return powers_w


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
