"""Rows that are measured again, later, and never averaged in.

Those that were too disturbed to count are, a bounded number of times; those that failed, only when that is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile

from perfport.data.measurement import Measurement, Status
from perfport.data.standing import WORST_KEPT, best_attempt, is_bad
from perfport.measure.campaign.plan import RETRIED, Task, TaskKey

__all__ = ["Remeasure", "to_measure_again", "to_retry"]

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
        judged = _from_the_first_ok(made)
        if judged and len(judged) <= policy.times and is_bad(best_attempt(made), policy.worst_kept):
            again.append(_next_attempt(task, made))
    return sorted(again, key=lambda task: task.attempt)


def to_retry(tasks: Sequence[Task], attempts: Mapping[TaskKey, Sequence[Measurement]]) -> list[Task]:
    """Return the tasks that failed or timed out, in every attempt there was, as their next attempt.

    Args:
        tasks: In the order they are to be measured.
        attempts: Task key -> its measurements.
    """
    distinct = {task.key: task for task in tasks if attempts.get(task.key)}
    return [
        replace(_next_attempt(task, attempts[key]), is_retry=True)
        for key, task in distinct.items()
        if best_attempt(attempts[key]).status in RETRIED
    ]


def _next_attempt(task: Task, made: Sequence[Measurement]) -> Task:
    return replace(task, attempt=len(made), seed=task.seed + len(made))


def _from_the_first_ok(made: Sequence[Measurement]) -> list[Measurement]:
    """Return the attempts without the failures that came first: these say nothing about the moment."""
    return list(dropwhile(lambda found: found.status is not Status.OK, sorted(made, key=lambda found: found.attempt)))


def _is_hopeless(tasks: Sequence[Task], attempts: Mapping[TaskKey, Sequence[Measurement]], policy: Remeasure) -> bool:
    keys = {task.key for task in tasks}
    later = [found for key in keys for found in _from_the_first_ok(attempts.get(key, ()))[1:]]
    last = sorted(later, key=lambda found: found.started_at)[-_HOPELESS:]
    return len(last) == _HOPELESS and all(is_bad(found, policy.worst_kept) for found in last)
