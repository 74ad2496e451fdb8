"""Integrated power: readings taken by a thread at an interval, joined by the trapezoid rule.

For sensors that tell watts, not joules. The thread costs processor time that the system under test
may miss, so what it took is measured (its own processor clock) and stored with every row.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from perfport.errors import MeterUnavailableError

__all__ = ["Integral", "PowerSampler", "trapezoid_j"]


@dataclass(frozen=True, slots=True)
class Integral:
    """Power integrated over one window.

    Attributes:
        energies_j: Part -> energy in joules.
        n_readings: How many readings of each part were taken.
        window_s: Time from the first to the last reading.
        longest_gap_s: Longest time between two readings: what happened within it was not seen.
        sampling_cpu_s: Processor time the reading thread took.
    """

    energies_j: Mapping[str, float]
    n_readings: int
    window_s: float
    longest_gap_s: float
    sampling_cpu_s: float

    def provenance(self) -> dict[str, object]:
        """Return what is stored with the row; plain JSON data."""
        return {
            "kind": "integrated power",
            "parts": sorted(self.energies_j),
            "n_readings": self.n_readings,
            "longest_gap_s": round(self.longest_gap_s, 6),
            "sampling_cpu_s": round(self.sampling_cpu_s, 6),
            "sampling_cpu_pct": round(100 * self.sampling_cpu_s / self.window_s, 3) if self.window_s > 0 else None,
        }


def trapezoid_j(times_s: Sequence[float], powers_w: Sequence[float]) -> float:
    """Return the energy under straight lines between readings, in joules; exact for power that is linear in time.

    Example:
        >>> trapezoid_j([0.0, 1.0, 3.0], [2.0, 4.0, 4.0])
        11.0
    """
    spans = zip(pairwise(times_s), pairwise(powers_w), strict=True)
    return sum((end - begin) * (first + last) / 2 for (begin, end), (first, last) in spans)


@dataclass(slots=True)
class PowerSampler:
    """Reads powers in a thread of its own between `start` and `stop`.

    Attributes:
        read_w: Returns part -> power in watts; raises OSError or ValueError if it cannot be read.
        interval_s: Pause between two readings.
        clock: Time in seconds.
    """

    read_w: Callable[[], Mapping[str, float]]
    interval_s: float
    clock: Callable[[], float] = time.perf_counter
    _times_s: list[float] = field(default_factory=list, init=False)
    _readings: list[Mapping[str, float]] = field(default_factory=list, init=False)
    _problem: str = field(default="", init=False)
    _cpu_s: float = field(default=0.0, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Take the first reading and start the thread.

        Raises:
            MeterUnavailableError: If the first reading fails.
        """
        self._times_s, self._readings, self._problem = [], [], ""
        self._ended = threading.Event()
        self._read()
        self._raise_problem()
        self._thread = threading.Thread(target=self._run, name="perfport-power", daemon=True)
        self._thread.start()

    def stop(self) -> Integral:
        """End the thread, take the last reading and integrate.

        Raises:
            MeterUnavailableError: If a reading failed: energy with a hole in it is not energy.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._read()
        self._raise_problem()
        times_s = self._times_s
        gaps_s = [end - begin for begin, end in pairwise(times_s)]
        energies_j = {
            part: trapezoid_j(times_s, [reading[part] for reading in self._readings]) for part in self._readings[0]
        }
        return Integral(energies_j, len(times_s), times_s[-1] - times_s[0], max(gaps_s), self._cpu_s)

    def _run(self) -> None:
        while not self._problem and not self._ended.wait(self.interval_s):
            self._read()
        self._cpu_s = time.thread_time()

    def _read(self) -> None:
        try:
            begin_s = self.clock()
            powers_w = self.read_w()
            # A sensor on a slow bus answers late: the reading belongs to the middle of the call.
            self._times_s.append((begin_s + self.clock()) / 2)
            self._readings.append(powers_w)
        except (OSError, ValueError) as error:
            self._problem = self._problem or str(error)

    def _raise_problem(self) -> None:
        if self._problem:
            raise MeterUnavailableError(f"power cannot be read: {self._problem}")
