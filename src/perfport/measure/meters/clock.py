"""Wall clock and processor time, read inside the child around each run."""

import time
from collections.abc import Mapping

from perfport.measure.base import Availability, Available
from perfport.measure.properties import CPU_TIME, INFERENCE_TIME

__all__ = ["ClockMeter"]


class ClockMeter:
    """Monotonic wall clock and the process's processor time (what getrusage sums, in nanoseconds)."""

    name = "clock"
    properties = (INFERENCE_TIME, CPU_TIME)
    min_window_s = 0.0

    def __init__(self) -> None:
        self._wall_ns = 0
        self._cpu_ns = 0

    def availability(self) -> Availability:
        """Return that it is there: every platform has both clocks."""
        resolution_s = time.get_clock_info("perf_counter").resolution
        return Available(f"monotonic clock, resolution {resolution_s * 1e9:g} ns")

    def start(self) -> None:
        """Begin a window."""
        # NOTE: the wall clock is read last here and first in `stop`: reading the processor time is
        # a system call and must not fall into the wall window.
        self._cpu_ns = time.process_time_ns()
        self._wall_ns = time.perf_counter_ns()

    def stop(self) -> Mapping[str, float]:
        """Return `inference_time_s` and `cpu_time_s` since `start`, for the whole run."""
        wall_ns = time.perf_counter_ns() - self._wall_ns
        cpu_ns = time.process_time_ns() - self._cpu_ns
        return {"inference_time_s": wall_ns * 1e-9, "cpu_time_s": cpu_ns * 1e-9}
