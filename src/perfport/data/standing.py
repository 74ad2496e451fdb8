"""Which measurements count: of several attempts the best, and nothing bad beside something better."""

from collections.abc import Iterable, Sequence

from perfport.data.measurement import GRADES, Measurement, Status

__all__ = ["WORST_KEPT", "best_attempt", "grade_rank", "is_bad", "standing", "worst_grade"]

# A row below it is not used beside a better one, and is measured again.
WORST_KEPT = GRADES[-2]


def grade_rank(grade: str) -> int:
    """Return 0 for the best grade and for none (nobody objected), more for a worse one."""
    return GRADES.index(grade) if grade else 0


def is_bad(measurement: Measurement, worst_kept: str = WORST_KEPT) -> bool:
    """Return whether a measurement is graded below `worst_kept`; an outcome that is not ok is no bad number."""
    return grade_rank(measurement.grade) > grade_rank(worst_kept)


def worst_grade(measurements: Iterable[Measurement]) -> str:
    """Return the worst grade given, "" if none was."""
    return max((measurement.grade for measurement in measurements), key=lambda grade: (grade_rank(grade), grade))


def best_attempt(attempts: Iterable[Measurement]) -> Measurement:
    """Return the attempt that counts: ok before not ok, then by grade, then by how well it is known."""
    return min(attempts, key=_doubt)


def standing(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the measurements that count, in order of the first attempt at each.

    Of the attempts at one block the one with the best grade counts (of equal ones the one that is known
    best). A configuration's blocks graded D count only where it has none that is better: a disturbed
    number is never averaged with a good one.
    """
    attempts: dict[tuple[str, str, str, int], list[Measurement]] = {}
    for measurement in measurements:
        attempts.setdefault(measurement.key[:4], []).append(measurement)
    best = {key: best_attempt(found) for key, found in attempts.items()}
    good = {key[:3] for key, found in best.items() if found.status is Status.OK and not is_bad(found)}
    return [found for key, found in best.items() if key[:3] not in good or not is_bad(found)]


def _doubt(measurement: Measurement) -> tuple[bool, int, float, int]:
    is_wrong = measurement.status is not Status.OK
    return is_wrong, grade_rank(measurement.grade), max(measurement.log_se.values(), default=0.0), measurement.attempt
