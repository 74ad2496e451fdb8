"""How a run of a campaign goes on and ends: what callbacks are told, and what is returned."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from perfport.data.measurement import Measurement, Status
from perfport.measure.campaign.plan import Task

__all__ = ["CampaignResult", "Limits", "Progress", "ProgressCallback", "StoppedBy", "Tally"]

StoppedBy = Literal["finished", "asked", "max_runs", "max_time"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign stands; given to the callback before and after each measurement.

    Attributes:
        n_done: Measurements in the store, those of earlier runs included.
        n_total: Measurements in all.
        environment: Name of the environment of the present measurement.
        measurement: The one just stored; None when one begins.
        elapsed_s: Time since this run began.
        left_s: Estimated time to go, from the runs so far; None before the first.
    """

    n_done: int
    n_total: int
    environment: str
    measurement: Measurement | None
    elapsed_s: float
    left_s: float | None


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """How a run of a campaign ended.

    Attributes:
        n_total: Measurements the campaign has.
        n_before: Those already stored when the run began.
        n_measured: Those this run made.
        counts: Status -> number, of those this run made.
        grades: Grade -> number, of those this run made; "" for outcomes without a grade.
        n_again: Those this run made because an earlier one was too disturbed.
        stopped_by: "finished", "asked" (Ctrl-C or `stop`), "max_runs" or "max_time".
        elapsed_s: Length of this run.
        n_retried: Those this run made because every earlier one had failed or timed out.
        outcomes: Status -> number, of everything the campaign has in the store, earlier runs included; of several
            attempts the one that counts.
        reasons: (status, why) -> number, of those of them that are not ok; the most frequent first.
    """

    n_total: int
    n_before: int
    n_measured: int
    counts: dict[Status, int]
    stopped_by: StoppedBy
    elapsed_s: float
    grades: dict[str, int] = field(default_factory=dict)
    n_again: int = 0
    n_retried: int = 0
    outcomes: dict[Status, int] = field(default_factory=dict)
    reasons: dict[tuple[Status, str], int] = field(default_factory=dict)

    def with_outcomes(self, measurements: Iterable[Measurement]) -> "CampaignResult":
        """Return the result with what became of the whole campaign.

        Args:
            measurements: Everything it has in the store, one for each task.
        """
        found = list(measurements)
        wrong = Counter((made.status, made.reason) for made in found if made.status is not Status.OK)
        return replace(self, outcomes=dict(Counter(made.status for made in found)), reasons=dict(wrong.most_common()))

    @property
    def is_all_wrong(self) -> bool:
        """Whether something was measured, and none of it is ok."""
        return bool(self.outcomes) and Status.OK not in self.outcomes

    @property
    def is_finished(self) -> bool:
        """Whether every measurement of the campaign is in the store, and no bad one is to be made again."""
        return self.n_before + self.n_measured == self.n_total


class Tally:
    """Counts the measurements of one run and tells the callback.

    Attributes:
        n_measured: Measurements made so far.
    """

    def __init__(self, n_total: int, n_before: int, callback: ProgressCallback | None) -> None:
        self.n_measured = 0
        self._n_total = n_total
        self._n_before = n_before
        self._callback = callback
        self._counts: dict[Status, int] = {}
        self._grades: dict[str, int] = {}
        self._n_again = 0
        self._n_retried = 0
        self._begin_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Time since the run began."""
        return time.monotonic() - self._begin_s

    def expect(self, n_again: int) -> None:
        """Note how many are to be made again: the total then ends with them."""
        self._n_total = self._n_before + self.n_measured + n_again

    def begin(self, task: Task) -> None:
        """Note that a measurement begins."""
        self._tell(task, None)

    def end(self, task: Task, measurement: Measurement) -> None:
        """Note that a measurement was stored."""
        self.n_measured += 1
        self._counts[measurement.status] = self._counts.get(measurement.status, 0) + 1
        self._grades[measurement.grade] = self._grades.get(measurement.grade, 0) + 1
        self._n_again += task.attempt > 0 and not task.is_retry
        self._n_retried += task.is_retry
        self._tell(task, measurement)

    def result(self, stopped_by: StoppedBy) -> CampaignResult:
        """Return what the run came to."""
        # Given up: what was still to be made again is not.
        n_total = self._n_before + self.n_measured if stopped_by == "finished" else self._n_total
        return CampaignResult(
            n_total,
            self._n_before,
            self.n_measured,
            self._counts,
            stopped_by,
            round(self.elapsed_s, 3),
            dict(sorted(self._grades.items())),
            self._n_again,
            self._n_retried,
        )

    def _tell(self, task: Task, measurement: Measurement | None) -> None:
        if self._callback is None:
            return
        elapsed_s = self.elapsed_s
        n_done = self._n_before + self.n_measured
        left_s = elapsed_s / self.n_measured * (self._n_total - n_done) if self.n_measured else None
        name = task.rig.environment.name
        self._callback(Progress(n_done, self._n_total, name, measurement, elapsed_s, left_s))


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run before the campaign is finished.

    Attributes:
        stop: Asked between measurements; true ends the run.
        max_runs: Most measurements.
        max_time_s: No measurement begins that would, by the mean of those so far, end after this time,
            and none goes on after it.
    """

    stop: Callable[[], bool] | None = None
    max_runs: int | None = None
    max_time_s: float | None = None

    def until(self, tally: Tally) -> float | None:
        """Return when the present measurement must have ended, on the monotonic clock."""
        if self.max_time_s is None:
            return None
        return time.monotonic() + self.max_time_s - tally.elapsed_s

    def reached(self, tally: Tally) -> StoppedBy | None:
        """Return which limit ends the run now, if one does."""
        if self.stop is not None and self.stop():
            return "asked"
        if self.max_runs is not None and tally.n_measured >= self.max_runs:
            return "max_runs"
        mean_s = tally.elapsed_s / tally.n_measured if tally.n_measured else 0.0
        if self.max_time_s is not None and tally.elapsed_s + mean_s > self.max_time_s:
            return "max_time"
        return None
