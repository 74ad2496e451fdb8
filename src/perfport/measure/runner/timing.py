"""Warm up until stable, then repeat until the median is known well enough: the inner loop of measuring.

One configuration in time (lengths from the protocol):

    open | warm-up windows until two medians agree | timed runs until the interval is narrow | meter window | close
         |<----------- warm_up_max_s ------------->|<- min_time_s ............... budget_s ->|<- window_s -->|

Nothing here knows processes, files or devices, so it is tested with a session in virtual time.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, median
from typing import Literal, Protocol

import numpy as np

from perfport.errors import MeasurementError
from perfport.measure.base import AddsReadings, Meter, ReportsReadings, Session
from perfport.measure.properties import PRIMARY
from perfport.measure.protocol import Protocol as MeasuringProtocol

__all__ = [
    "Follower",
    "Pacer",
    "RunReader",
    "Timing",
    "dependence",
    "interval_ranks",
    "relative_interval_width",
    "relative_trend",
    "run_reader",
    "time_session",
]

StoppedBy = Literal["interval", "budget", "max_repetitions"]

# Shorter runs are not followed one by one: telling of them would disturb them, and none of them fills a time-out.
_FOLLOWED_S = 0.1
_FEWEST_FOR_TREND = 6
_CHANCE = 2.5  # standard errors; halves of a steady run differ by more in one of eighty


@dataclass(frozen=True, slots=True)
class Timing:
    """Every repetition of one configuration, and how the loop ended.

    Attributes:
        repetitions: Property -> values per input, in the order they were taken.
        warm_up_runs: Runs before the first timed one.
        is_stable: Whether warm-up ended because it was stable, not because its time was up.
        stopped_by: What ended the timed runs.
        interval_width: Relative width of the confidence interval of the median that was reached.
        elapsed_s: Time of warm-up and timed runs, as budgets are charged.
    """

    repetitions: Mapping[str, list[float]]
    warm_up_runs: int
    is_stable: bool
    stopped_by: StoppedBy
    interval_width: float
    elapsed_s: float


class RunReader(Protocol):
    """Runs once and says what it took."""

    def __call__(self) -> Mapping[str, float]:
        """Run once; return property -> value per input."""
        ...

    def now_s(self) -> float:
        """Return the time that budgets are charged in, in seconds from any origin."""
        ...


class Pacer(Protocol):
    """Watches over the timed runs: how they are scheduled, and what happens beside them."""

    def begin(self, run_s: float) -> None:
        """Note that warm-up is over and timed runs follow; the fastest one so far took `run_s` seconds."""
        ...

    def before_run(self) -> None:
        """Do what is to be done between two timed runs, such as leaving the processor to others."""
        ...

    def end(self) -> None:
        """Note that the timed runs are over, however they ended."""
        ...


Follower = Callable[[Sequence[float]], None]


class _NoPacer:
    def begin(self, run_s: float) -> None: ...

    def before_run(self) -> None: ...

    def end(self) -> None: ...


class _ClockedReader:
    """Reads a meter (the clock) around each run, and then what only the session can tell."""

    def __init__(self, session: Session, meter: Meter) -> None:
        self._session = session
        self._meter = meter
        self._added = session.added_readings if isinstance(session, AddsReadings) else None

    def __call__(self) -> Mapping[str, float]:
        self._meter.start()
        self._session.run_once()
        totals = self._meter.stop()
        n = self._session.inputs_per_run
        readings = totals if n == 1 else {name: total / n for name, total in totals.items()}
        if self._added is None:
            return readings
        return {name: value for name, value in {**readings, **self._added()}.items() if value is not None}

    @staticmethod
    def now_s() -> float:
        return time.perf_counter()


class _ReportedReader:
    """Takes the session's own readings; time is what the runs say they took."""

    def __init__(self, session: Session, readings: Callable[[], Mapping[str, float]]) -> None:
        self._session = session
        self._readings = readings
        self._elapsed_s = 0.0

    def __call__(self) -> Mapping[str, float]:
        self._session.run_once()
        readings = dict(self._readings())
        if PRIMARY not in readings:
            raise MeasurementError(f"the system reports no {PRIMARY}, only {', '.join(readings) or 'nothing'}")
        self._elapsed_s += readings[PRIMARY] * self._session.inputs_per_run
        return readings

    def now_s(self) -> float:
        return self._elapsed_s


def run_reader(session: Session, meter: Meter) -> RunReader:
    """Return the reader for `session`: its own readings if it has them, else `meter` around each run."""
    if isinstance(session, ReportsReadings):
        return _ReportedReader(session, session.readings)
    return _ClockedReader(session, meter)


def time_session(
    read: RunReader,
    protocol: MeasuringProtocol,
    *,
    check_alive: Callable[[], None] = lambda: None,
    pacer: Pacer | None = None,
    follower: Follower | None = None,
) -> Timing:
    """Warm up, then repeat until the median is known to `protocol.interval_width` or the budget ends.

    Args:
        read: Runs once.
        protocol: Bounds of both phases.
        check_alive: Called before each run; raises to end the loop (a child whose parent is gone).
        pacer: Watches over the timed runs.
        follower: Told before each timed run what those before it took per input, if runs are long.
    """
    pacer = pacer or _NoPacer()
    begin_s = read.now_s()
    warm_up = _warm_up(read, protocol, check_alive)
    if follower is None or warm_up.fastest_s < _FOLLOWED_S:
        follower = _follow_nothing
    pacer.begin(warm_up.fastest_s)
    try:
        repetitions, stopped_by = _timed_runs(read, protocol, check_alive, pacer, follower)
    finally:
        pacer.end()
    width = relative_interval_width(repetitions[PRIMARY], protocol.confidence)
    return Timing(repetitions, warm_up.runs, warm_up.is_stable, stopped_by, width, read.now_s() - begin_s)


def _follow_nothing(_: Sequence[float]) -> None:
    return None


def _timed_runs(
    read: RunReader,
    protocol: MeasuringProtocol,
    check_alive: Callable[[], None],
    pacer: Pacer,
    follower: Follower,
) -> tuple[dict[str, list[float]], StoppedBy]:
    repetitions: dict[str, list[float]] = {}
    start_s = read.now_s()
    next_check = protocol.min_repetitions
    for n in range(1, protocol.max_repetitions + 1):
        check_alive()
        pacer.before_run()
        follower(repetitions.get(PRIMARY, []))
        for name, value in read().items():
            repetitions.setdefault(name, []).append(value)
        if n < protocol.min_repetitions:
            continue
        elapsed_s = read.now_s() - start_s
        # OPTIM: sorting after every run would cost more than a short run; after 10 % more runs it does not.
        if n >= next_check and elapsed_s >= protocol.min_time_s:
            next_check = max(n + 1, math.ceil(n * 1.1))
            if relative_interval_width(repetitions[PRIMARY], protocol.confidence) <= protocol.interval_width:
                return repetitions, "interval"
        if elapsed_s >= protocol.budget_s:
            return repetitions, "budget"
    return repetitions, "max_repetitions"


@dataclass(frozen=True, slots=True)
class _WarmUp:
    runs: int
    is_stable: bool
    fastest_s: float


def _warm_up(read: RunReader, protocol: MeasuringProtocol, check_alive: Callable[[], None]) -> _WarmUp:
    start_s = last_s = read.now_s()
    fastest_s = math.inf
    before: float | None = None
    runs = 0
    while True:
        window: list[float] = []
        for _ in range(protocol.warm_up_runs):
            check_alive()
            window.append(read()[PRIMARY])
            runs += 1
            now_s = read.now_s()
            fastest_s, last_s = min(fastest_s, now_s - last_s), now_s
            is_late = now_s - start_s > protocol.warm_up_max_s and runs > 1
            if is_late or runs >= protocol.max_repetitions:
                return _WarmUp(runs, False, fastest_s)
        now = median(window)
        if before is not None and abs(now - before) <= protocol.warm_up_tolerance * min(now, before):
            return _WarmUp(runs, True, fastest_s)
        before = now


def relative_interval_width(values: Sequence[float], confidence: float) -> float:
    """Return the width of the confidence interval of the median, as a share of the median.

    The interval is that of the order statistics: what a bootstrap of the median comes to when every
    resample is drawn, without its random numbers, and never too narrow for few values. Where
    repetitions depend on each other (interference that lasts longer than a run) it is widened as a
    bootstrap of blocks would be, by `dependence`. What lasts longer than all repetitions together
    only replicate blocks can show.

    Args:
        values: Repetitions, positive, in the order they were taken, shape (n,).
        confidence: Coverage at least aimed at, within (0, 1).

    Returns:
        The share; infinite where n is too small for an interval of that confidence.

    Source:
        B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, section 10.3 (the median).
    """
    n = len(values)
    ranks = interval_ranks(n, confidence)
    if ranks is None:
        return math.inf
    ordered = sorted(values)
    middle = median(ordered)
    reach = (ranks[1] - ranks[0]) / 2 * math.sqrt(dependence(values))
    lower = max(1, math.floor((n + 1) / 2 - reach))
    spread = ordered[n - lower] - ordered[lower - 1]
    return spread / middle if middle > 0 else math.inf


def dependence(values: Sequence[float]) -> float:
    """Return how many times more the median varies than that of as many independent values; at least 1.

    1 + 2 sum_k rho_k, with rho_k the autocorrelation, at lag k, of being above or below the median,
    summed while it is larger than chance explains (two standard errors, 2 / sqrt(n)).

    Args:
        values: In the order they were taken, shape (n,).
    """
    array = np.asarray(values)
    signs = np.sign(array - np.median(array))
    power = float(signs @ signs)
    if power == 0:
        return 1.0
    total, chance = 1.0, 2 / math.sqrt(len(array))
    for lag in range(1, len(array) // 2):
        correlation = float(signs[:-lag] @ signs[lag:]) / power
        if correlation <= chance:
            break
        total += 2 * correlation
    return total


def relative_trend(values: Sequence[float]) -> float:
    """Return by which share the later half of the values lies above the earlier half; negative if below.

    The difference of the halves' medians as a share of the first; 0 where it is no larger than chance
    explains, or there are too few values to tell.

    Args:
        values: Positive, in the order they were taken, shape (n,).
    """
    n = len(values)
    if n < _FEWEST_FOR_TREND or min(values) <= 0:
        return 0.0
    logs = np.log(np.asarray(values, dtype=np.float64))
    halves = logs[: n // 2], logs[-(n // 2) :]
    first, second = (float(np.median(half)) for half in halves)
    # 1.4826 median absolute deviations are the deviation of a normal distribution, whose median
    # scatters sqrt(pi / 2) times as much as its mean.
    spread = 1.4826 * float(np.median(np.abs(np.concatenate([halves[0] - first, halves[1] - second]))))
    chance = _CHANCE * spread * math.sqrt(math.pi / 2) * math.sqrt(4 / n)
    return math.expm1(second - first) if abs(second - first) > chance else 0.0


@lru_cache(maxsize=4096)
def interval_ranks(n: int, confidence: float) -> tuple[int, int] | None:
    """Return the ranks (1-based) of the order statistics that bound the median, or None if n is too small.

    The largest l with 2 P(Binomial(n, 1/2) < l) <= 1 - confidence, and n + 1 - l.

    Source:
        W. J. Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.

    Example:
        >>> interval_ranks(10, 0.95)
        (2, 9)
    """
    limit = (1 - confidence) / 2 * 2.0**n if n < 1000 else math.inf
    if math.isinf(limit):
        # Normal approximation; 2 ** n no longer fits a float and the exact sum brings nothing.
        lower = math.floor((n - _normal_quantile(confidence) * math.sqrt(n)) / 2)
        return lower, n + 1 - lower
    lower, tail = 0, 0
    while lower < n and tail + math.comb(n, lower) <= limit:
        tail += math.comb(n, lower)
        lower += 1
    return (lower, n + 1 - lower) if lower >= 1 else None


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
