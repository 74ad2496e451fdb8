"""Rows that were too disturbed to count are measured again, later: a bounded number of times, and never averaged in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from perfport.data.measurement import Measurement
from perfport.data.standing import WORST_KEPT, best_attempt, is_bad
from perfport.measure.campaign.plan import Task, TaskKey

__all__ = ["Remeasure", "to_measure_again"]

# So many in a row that are as bad again: it is the machine, not the moment.
_HOPELESS = 5


@dataclass(frozen=True, slots=True)
class Remeasure:
    """Which rows are measured again, and how often.

    Attributes:
        worst_kept: Rows with a worse grade are.
        times: Most attempts beyond the first; 0 for none.
    """

    worst_kept: str = WORST_KEPT
    times: int = 1


def to_measure_again(
    tasks: Sequence[Task], attempts: Mapping[TaskKey, Sequence[Measurement]], policy: Remeasure
) -> list[Task]:
    """Return the tasks whose measurements are all bad and that have attempts left, as their next attempt.

    It follows from what is stored alone, so that a run that was cut short goes on as it would have.

    Args:
        tasks: In the order they were measured.
        attempts: Task key -> its measurements.
        policy: What is bad, and how often it is tried again.
    """
    if policy.times == 0 or _is_hopeless(tasks, attempts, policy):
        return []
    again = []
    for task in {task.key: task for task in tasks}.values():
        made = attempts.get(task.key, ())
        if made and len(made) <= policy.times and is_bad(best_attempt(made), policy.worst_kept):
            again.append(replace(task, attempt=len(made), seed=task.seed + len(made)))
    return sorted(again, key=lambda task: task.attempt)


def _is_hopeless(tasks: Sequence[Task], attempts: Mapping[TaskKey, Sequence[Measurement]], policy: Remeasure) -> bool:
    keys = {task.key for task in tasks}
    later = [found for key in keys for found in attempts.get(key, ()) if found.attempt > 0]
    last = sorted(later, key=lambda found: found.started_at)[-_HOPELESS:]
    return len(last) == _HOPELESS and all(is_bad(found, policy.worst_kept) for found in last)
