"""The measuring protocol."""

import pytest

from perfport.errors import UsageError
from perfport.measure.protocol import Protocol


def test_the_key_follows_the_content() -> None:
    assert Protocol().key == Protocol().key
    assert Protocol(budget_s=2).key != Protocol().key
    assert Protocol(label="verify").key != Protocol().key


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"min_repetitions": 9, "max_repetitions": 3}, "max_repetitions 3"),
        ({"min_time_s": 5.0}, "budget_s 1"),
        ({"budget_s": 100.0}, "timeout_s 60"),
        ({"budgets": 1.0}, "did you mean .budget_s"),
    ],
)
def test_bounds_that_contradict_each_other_are_refused(fields: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Protocol(**fields)
