"""Grades: how far a measurement can be trusted, and why not further.

    A   nothing to object to: known to 5 %, and hardly anybody interfered
    B   good: every objection is below a tenth
    C   usable with care: one objection reaches a quarter
    D   not to be used: the number may be off by more than the differences that are looked for

One scale serves everything that moves the number itself (`_EFFECTS`), because it is read beside the
errors of models, 5 to 20 %: a measurement known to 5 % never limits a model, one off by 25 % always
does. What may only disturb (others at work on other processors) weighs less and never makes a D.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from perfport.data.measurement import GRADES, Status
from perfport.measure.base import Outcome
from perfport.measure.protocol import Protocol

__all__ = ["Judgement", "judge"]

_LIMITS = (0.05, 0.10, 0.25)
# Other programs on processors that the system leaves free take memory bandwidth, cache and clock; how
# much that is differs by machine, so it is an objection, not a verdict. A desktop at rest uses 1-8 %.
_PRESENCE_LIMITS = (0.10, 0.30, math.inf)

# What it is about stands before the colon.
_EFFECTS = {
    "interval_width": "wide interval: the median is known to {:.0%} only",
    "trend": "drift: the later half of the runs took {:+.0%}",
    "waited_share": "waiting: {:.0%} of the time there was no processor for it",
    "cpu_dip": "waiting: most runs had {:.0%} less of the processors than the best",
    "stolen_share": "steal: the hypervisor took {:.0%} of the time",
    "clock_change": "clock: it changed by {:+.0%}",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to think of a measurement.

    Attributes:
        grade: A to D; empty if there is nothing to judge by.
        reasons: What kept it from an A, the worst first.
        log_se: Property -> standard error of the logarithm of its median, for what wall time depends on.
    """

    grade: str = ""
    reasons: tuple[str, ...] = ()
    log_se: Mapping[str, float] = field(default_factory=dict)


def judge(outcome: Outcome, protocol: Protocol) -> Judgement:
    """Return the grade of an outcome by what was noted while it was timed.

    Args:
        outcome: What a session returned; one that is not ok, or was recorded elsewhere, gets no grade.
        protocol: How it was measured.
    """
    if outcome.status is not Status.OK or "interval_width" not in outcome.conditions:
        return Judgement()
    facts = outcome.conditions
    objections = [*_objections(facts), *_other_objections(facts)]
    rank = max((rank for rank, _ in objections), default=0)
    reasons = tuple(text for grade, text in sorted(objections, key=lambda found: -found[0]) if grade > 0)
    # Energy is read in a window of its own, which is as disturbed; processor time is hardly disturbed at all.
    properties = [name for name in outcome.repetitions if name != "cpu_time_s"]
    error = _log_se(facts, protocol)
    return Judgement(GRADES[rank], reasons, dict.fromkeys(properties, error) if error is not None else {})


def _objections(facts: Mapping[str, object]) -> list[tuple[int, str]]:
    return [
        (_rank(abs(share), _LIMITS), text.format(share))
        for name, text in _EFFECTS.items()
        if (share := _share(facts, name)) is not None
    ]


def _other_objections(facts: Mapping[str, object]) -> list[tuple[int, str]]:
    found = []
    others = _share(facts, "others_share")
    if others is not None:
        found.append((_rank(others, _PRESENCE_LIMITS), f"other load: {others:.0%} of the processors"))
    throttled = _share(facts, "throttled")
    if throttled:
        # Heat or power forced the clock down in the middle: the number belongs to no clock.
        found.append((len(GRADES) - 1, f"throttling: {throttled:.0f} times"))
    if facts["interval_width"] is None:
        found.append((2, "few repetitions: they do not tell how well the median is known"))
    if facts.get("warm_up_stable") is False:
        found.append((1, "cold: it was not warm before it was timed"))
    return found


def _share(facts: Mapping[str, object], name: str) -> float | None:
    if name == "waited_share" and facts.get("crowded"):
        return None  # its own threads wait for each other: that is how it performs
    if name == "cpu_dip" and "waited_share" in facts:
        return None  # the kernel tells how long it waited; this is for systems that do not
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else None


def _rank(share: float, limits: tuple[float, ...]) -> int:
    return sum(share > limit for limit in limits)


def _log_se(facts: Mapping[str, object], protocol: Protocol) -> float | None:
    """Return the standard error: the interval's, and that of a bias anywhere up to the largest objection.

    A uniform distribution of width d has the deviation d / sqrt(12).
    """
    width = _share(facts, "interval_width")
    if width is None:
        return None
    half_widths = NormalDist().inv_cdf((1 + protocol.confidence) / 2)
    effects = [abs(share) for name in _EFFECTS if name != "interval_width" and (share := _share(facts, name))]
    return math.hypot(width / (2 * half_widths), max(effects, default=0.0) / math.sqrt(12))
