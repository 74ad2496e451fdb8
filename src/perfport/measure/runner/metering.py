"""The meters of a campaign: which are there, what they read over a window, and what the idle machine takes.

Net energy is what a window took beyond the idle machine. The baseline is read with every child
asleep, under the same machine settings (an idle core at 2 GHz takes more than one at 300 MHz), and
again after `BASELINE_LASTS_S`, because a machine warms up.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from perfport.data.measurement import FloatArray, Property
from perfport.errors import MeterUnavailableError, UsageError
from perfport.measure.base import Absent, Meter, TellsProvenance

__all__ = ["BASELINE_LASTS_S", "NET_ENERGY", "Metering", "Window", "properties_read"]

BASELINE_LASTS_S = 600.0

_ENERGY = "energy_j"
NET_ENERGY = Property(
    "net_energy_j",
    "J",
    "minimise",
    "Energy of one run beyond what the idle machine took in the same time, divided by the number of inputs.",
)


def properties_read(meters: Iterable[Meter]) -> list[Property]:
    """Return what these meters read, and net energy if energy is among it."""
    found = [read for meter in meters for read in meter.properties]
    return [*found, NET_ENERGY] if any(read.name == _ENERGY for read in found) else found


@dataclass(frozen=True, slots=True)
class Window:
    """What the meters read over one window.

    Attributes:
        readings: Property -> one reading per input, shape (1,), in the property's unit.
        absent: Property -> why it could not be read.
        conditions: How the readings came about, one entry a meter; plain JSON data.
    """

    readings: dict[str, FloatArray] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, object] = field(default_factory=dict)


class Metering:
    """Reads meters around windows.

    Args:
        meters: Those asked for.
        clock: Time in seconds.
        sleep: Waits for so many seconds.

    Attributes:
        meters: Those that are there.
        absent: Property -> why it cannot be read here at all.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask each meter whether it is there.

        Raises:
            UsageError: If two of them read the same property: neither could be told from the other.
        """
        self._clock = clock
        self._sleep = sleep
        self.meters: list[Meter] = []
        self.absent: dict[str, str] = {}
        for meter in meters:
            availability = meter.availability()
            if isinstance(availability, Absent):
                self.absent |= {found.name: availability.reason for found in meter.properties}
            else:
                self.meters.append(meter)
        read = [found.name for meter in self.meters for found in meter.properties]
        twice = next((name for name in read if read.count(name) > 1), None)
        if twice is not None:
            raise UsageError(
                f"{twice} is read by {' and '.join(self._readers(twice))}; keep one of these meters", property=twice
            )
        # A property that one meter lacks and another reads is not absent.
        self.absent = {name: reason for name, reason in self.absent.items() if name not in read}
        self._idle_w: dict[Hashable, tuple[float, float]] = {}
        self._started: list[Meter] = []
        self._not_started: dict[str, str] = {}
        self._begin_s = 0.0

    def length_s(self, window_s: float) -> float:
        """Return how long a window must be: `window_s`, or what a meter needs; 0 if there is no meter."""
        return max(window_s, *(meter.min_window_s for meter in self.meters)) if self.meters else 0.0

    def start(self) -> None:
        """Begin a window on every meter."""
        self._started, self._not_started = [], {}
        for meter in self.meters:
            try:
                meter.start()
                self._started.append(meter)
            except MeterUnavailableError as error:
                self._not_started |= {found.name: error.message for found in meter.properties}
        self._begin_s = self._clock()

    def stop(self, inputs: int, *, idle: Hashable = None) -> Window:
        """End the window.

        Args:
            inputs: How many inputs were served in it.
            idle: The machine settings under which the idle baseline was read.
        """
        window_s = self._clock() - self._begin_s
        absent = dict(self._not_started)
        totals: dict[str, float] = {}
        conditions: dict[str, object] = {}
        for meter in self._started:
            try:
                totals |= meter.stop()
            except MeterUnavailableError as error:
                absent |= {found.name: error.message for found in meter.properties}
            else:
                if isinstance(meter, TellsProvenance):
                    conditions[meter.name] = dict(meter.provenance())
        self._started = []
        if _ENERGY in totals:
            self._add_net(totals, absent, conditions, window_s, idle)
        readings = {name: np.array([total / inputs]) for name, total in totals.items()}
        return Window(readings, absent, {"meters": conditions} if conditions else {})

    def measure_idle(self, settings: Hashable, window_s: float) -> None:
        """Read the idle baseline under these machine settings, unless a fresh one is known; sleeps meanwhile."""
        has_energy = any(found.name == _ENERGY for meter in self.meters for found in meter.properties)
        is_fresh = settings in self._idle_w and self._clock() - self._idle_w[settings][0] < BASELINE_LASTS_S
        if not has_energy or is_fresh:
            return
        self.start()
        begin_s = self._begin_s
        self._sleep(self.length_s(window_s))
        window = self.stop(1)
        elapsed_s = self._clock() - begin_s
        if _ENERGY in window.readings:
            self._idle_w[settings] = self._clock(), float(window.readings[_ENERGY][0]) / elapsed_s

    def _readers(self, name: str) -> list[str]:
        return [meter.name for meter in self.meters if any(found.name == name for found in meter.properties)]

    def _add_net(
        self,
        totals: dict[str, float],
        absent: dict[str, str],
        conditions: dict[str, object],
        window_s: float,
        idle: Hashable,
    ) -> None:
        if idle not in self._idle_w:
            return
        idle_w = self._idle_w[idle][1]
        conditions["idle_baseline"] = {"power_w": round(idle_w, 6), "window_s": round(window_s, 6)}
        net_j = totals[_ENERGY] - idle_w * window_s
        if net_j > 0:
            totals[NET_ENERGY.name] = net_j
        else:
            absent[NET_ENERGY.name] = f"the window took no more than the idle machine ({idle_w:.3g} W)"
