"""The ground everything stands on: seeds, units, plug-ins, executors, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport import errors
from perfport.errors import PerfError, UnknownPluginError, UsageError
from perfport.executors import Executor, Outcome, ProcessExecutor, SerialExecutor
from perfport.plugins import known_names, resolve
from perfport.seeding import rng_for
from perfport.units import conversion_factor, format_quantity


def test_a_stream_depends_on_seed_and_key_alone() -> None:
    first = rng_for(7, "propose", 10).integers(1 << 60, size=4)
    rng_for(7, "other").random(100)
    assert np.array_equal(first, rng_for(7, "propose", 10).integers(1 << 60, size=4))
    assert not np.array_equal(first, rng_for(8, "propose", 10).integers(1 << 60, size=4))
    assert not np.array_equal(first, rng_for(7, "propose", 1, 0).integers(1 << 60, size=4))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01234, "s", "12.3 ms"),
        (2.5e-7, "s", "250 ns"),
        (125.0, "s", "125 s"),
        (1.3e9, "Hz", "1.30 GHz"),
        (0.0, "J", "0 J"),
        (-0.002, "W", "-2.00 mW"),
        (3.14159, "", "3.14"),
        (float("nan"), "s", "nan s"),
        (0.9996, "s", "1.00 s"),
    ],
)
def test_quantities_read_as_people_write_them(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


@given(st.floats(1e-8, 1e10), st.sampled_from(["s", "J", "Hz", "B"]))
def test_a_formatted_quantity_says_the_number_it_was_given(value: float, unit: str) -> None:
    number, shown = format_quantity(value, unit, digits=6).replace(",", "").split(" ")
    factor = conversion_factor(shown, unit)
    assert factor is not None
    assert float(number) * factor == pytest.approx(value, rel=1e-4)


def test_units_convert_only_to_what_they_measure() -> None:
    assert conversion_factor("ms", "s") == 1e-3
    assert conversion_factor("kWh", "J") == 3.6e6
    assert conversion_factor("furlong", "furlong") == 1.0
    assert conversion_factor("ms", "J") is None
    assert conversion_factor("furlong", "s") is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    builtin = {"clock": "time:perf_counter", "rapl": "time:sleep"}
    assert resolve("meter", "clock", builtin).__name__ == "perf_counter"
    assert known_names("meter", builtin) == ["clock", "rapl"]
    with pytest.raises(UnknownPluginError, match=r"unknown meter 'clok': known are clock, rapl; did you mean 'clock'"):
        resolve("meter", "clok", builtin)


def reciprocal(value: int) -> float:
    return 1 / value


@pytest.mark.parametrize(
    "executor",
    [SerialExecutor(), pytest.param(ProcessExecutor(2), marks=pytest.mark.slow)],
    ids=["serial", "processes"],
)
def test_a_task_that_raises_does_not_end_the_others(executor: Executor) -> None:
    outcomes = dict(executor.run(reciprocal, [1, 0, 4]))
    assert [outcomes[0].unwrap(), outcomes[2].unwrap()] == [1.0, 0.25]
    assert isinstance(outcomes[1].error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        outcomes[1].unwrap()


def test_an_outcome_may_be_none() -> None:
    nothing: Outcome[None] = Outcome(value=None)
    nothing.unwrap()
    assert nothing.error is None


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_carry_what_they_speak_of(name: str) -> None:
    error = getattr(errors, name)("a message", option="threads")
    assert isinstance(error, PerfError)
    assert (error.message, str(error), error.details) == ("a message", "a message", {"option": "threads"})
    assert error.exit_code in (1, 2, 3)
    assert isinstance(error, ValueError) or not isinstance(error, UsageError)
