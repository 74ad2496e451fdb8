"""Grades from what was noted."""

from collections.abc import Mapping

import numpy as np
import pytest

from perfport.data.measurement import Status
from perfport.measure.base import Outcome
from perfport.measure.protocol import Protocol
from perfport.measure.quality.grading import judge

QUIET = {
    "interval_width": 0.012,
    "trend": 0.0,
    "waited_share": 0.004,
    "stolen_share": 0.0,
    "others_share": 0.03,
    "warm_up_stable": True,
    "throttled": 0,
    "clock_change": -0.01,
}


def outcome(facts: Mapping[str, object]) -> Outcome:
    times = {"inference_time_s": np.array([0.01, 0.011]), "cpu_time_s": np.array([0.01, 0.01])}
    return Outcome(Status.OK, repetitions=times, conditions=facts)


def test_a_quiet_row_is_an_a_with_nothing_to_say() -> None:
    found = judge(outcome(QUIET), Protocol())
    assert (found.grade, found.reasons) == ("A", ())
    # 1.2 % wide at 95 %: a standard error of 0.3 %; a change of the clock by 1 % may have moved it by as much.
    assert found.log_se["inference_time_s"] == pytest.approx(np.hypot(0.012 / 3.92, 0.01 / 12**0.5), rel=1e-3)
    assert "cpu_time_s" not in found.log_se


@pytest.mark.parametrize(
    ("facts", "grade", "reason"),
    [
        ({"others_share": 0.2}, "B", "other load: 20% of the processors"),
        ({"others_share": 0.9}, "C", "other load: 90% of the processors"),
        ({"waited_share": 0.07}, "B", "waiting: 7% of the time"),
        ({"waited_share": 0.4}, "D", "waiting: 40% of the time"),
        ({"stolen_share": 0.12}, "C", "steal: the hypervisor took 12% of the time"),
        ({"trend": -0.3}, "D", "drift: the later half of the runs took -30%"),
        ({"interval_width": 0.09}, "B", "wide interval: the median is known to 9% only"),
        ({"interval_width": None}, "C", "few repetitions"),
        ({"throttled": 3}, "D", "throttling: 3 times"),
        ({"clock_change": -0.4}, "D", "clock: it changed by -40%"),
        ({"warm_up_stable": False}, "B", "cold: it was not warm"),
    ],
)
def test_an_objection_lowers_the_grade_and_is_told(facts: Mapping[str, object], grade: str, reason: str) -> None:
    found = judge(outcome({**QUIET, **facts}), Protocol())
    assert found.grade == grade
    assert found.reasons[0].startswith(reason)


def test_the_worst_reason_comes_first() -> None:
    found = judge(outcome({**QUIET, "others_share": 0.2, "waited_share": 0.3}), Protocol())
    assert [reason.split()[0] for reason in found.reasons] == ["waiting:", "other"]


def test_where_the_system_does_not_tell_who_waited_the_processor_time_of_the_runs_does() -> None:
    facts = {name: value for name, value in QUIET.items() if name != "waited_share"} | {"cpu_dip": 0.4}
    assert judge(outcome(facts), Protocol()).grade == "D"
    assert judge(outcome(facts | {"waited_share": 0.0}), Protocol()).grade == "A"


def test_threads_that_crowd_each_other_are_no_interference() -> None:
    assert judge(outcome({**QUIET, "waited_share": 0.5, "crowded": True}), Protocol()).grade == "A"


def test_a_disturbed_row_is_known_less_well() -> None:
    calm, loud = (judge(outcome({**QUIET, "waited_share": share}), Protocol()) for share in (0.0, 0.4))
    assert loud.log_se["inference_time_s"] > 0.1 > 10 * calm.log_se["inference_time_s"]


def test_recorded_and_failed_outcomes_get_no_grade() -> None:
    assert judge(outcome({}), Protocol()).grade == ""
    assert judge(Outcome(Status.FAILED, "broke", conditions=QUIET), Protocol()).grade == ""
