"""What is measured again: bounded for rows that are bad, on request for rows that failed."""

from collections.abc import Sequence

import numpy as np
import pytest

from perfport.data.measurement import Measurement, Status
from perfport.measure.campaign.plan import Task, task_of
from perfport.measure.campaign.requeue import Remeasure, to_measure_again, to_retry
from perfport.measure.runner.rig import make_rig
from perfport.measure.systems.synthetic import SyntheticSystem

RIG = make_rig("here", SyntheticSystem(n_options=1))
TASK = task_of(RIG, RIG.space.default_configuration(), 0, 0)


def attempts(outcomes: Sequence[str]) -> dict[tuple[str, str, int], list[Measurement]]:
    """Return attempts at the task: each a grade, or the status of one that is not ok."""
    made = []
    for number, outcome in enumerate(outcomes):
        is_ok = len(outcome) == 1
        made.append(
            Measurement(
                configuration=TASK.configuration,
                environment=RIG.environment,
                status=Status.OK if is_ok else Status(outcome),
                repetitions={"inference_time_s": np.array([1.0])} if is_ok else {},
                reason="" if is_ok else "it broke",
                grade=outcome if is_ok else "",
                attempt=number,
            )
        )
    return {TASK.key: made}


@pytest.mark.parametrize(
    ("outcomes", "is_retried", "is_made_again"),
    [
        ((), False, False),
        (("failed",), True, False),
        (("timed_out", "failed"), True, False),
        (("invalid",), False, False),
        (("failed", "A"), False, False),
        (("A", "failed"), False, False),
        (("D",), False, True),
        (("D", "D"), False, False),
        # A failure is not among the attempts a disturbed row has; what comes after a number is.
        (("failed", "D"), False, True),
        (("failed", "D", "D"), False, False),
        (("D", "failed"), False, False),
    ],
)
def test_failures_wait_to_be_asked_and_bad_rows_have_one_more_attempt(
    outcomes: tuple[str, ...], is_retried: bool, is_made_again: bool
) -> None:
    made = attempts(outcomes)
    retried, again = to_retry([TASK, TASK], made), to_measure_again([TASK], made, Remeasure())
    assert [task.attempt for task in retried] == [len(outcomes)] * is_retried
    assert [task.attempt for task in again] == [len(outcomes)] * is_made_again
    assert all(task.is_retry and task.seed != TASK.seed for task in retried)


def test_rows_retried_one_after_the_other_do_not_make_a_machine_hopeless() -> None:
    rows = RIG.space.sample(2, np.random.default_rng(0))
    tasks: list[Task] = [task_of(RIG, {"option_1": bool(row)}, block, 0) for block in range(3) for row in rows.option_1]
    made = {task.key: attempts(("failed", "D"))[TASK.key] for task in tasks}
    assert len(to_measure_again(tasks, made, Remeasure())) == 6
