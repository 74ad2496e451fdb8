import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport.report.ticks import linear_ticks, log_ticks, tick_text


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.0, "s", "0"), (0.0015, "s", "1.5 ms"), (0.02, "s", "20 ms"), (50.0, "%", "50 %")]
)
def test_a_tick_says_no_more_than_it_knows(value: float, unit: str, text: str) -> None:
    assert tick_text(value, unit) == text


@given(st.floats(1e-9, 1e6), st.floats(1.3, 1e12))
def test_a_log_axis_has_few_ticks_within_its_limits(lower: float, ratio: float) -> None:
    ticks = log_ticks(lower, lower * ratio)
    assert len(ticks) <= 7
    assert all(lower <= tick <= lower * ratio for tick in ticks)
    if ratio > 2:
        assert ticks


@given(st.floats(1e-9, 1e9))
def test_a_linear_axis_has_about_five_steps_from_zero(top: float) -> None:
    ticks = linear_ticks(top)
    assert ticks[0] == 0 and ticks[-1] < top
    assert 3 <= len(ticks) <= 7


def test_known_ticks() -> None:
    assert log_ticks(0.008, 0.25) == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2])
    assert linear_ticks(23.0) == pytest.approx([0, 5, 10, 15, 20])
