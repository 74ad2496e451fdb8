"""Setting, reading back and restoring."""

import os
import sys

import pytest

from perfport.errors import ActuationError, UsageError
from perfport.measure.actuators import actuators_for, applied
from perfport.measure.actuators.process import CpuAffinity, EnvironmentVariables, cpu_list, parse_cpu_list
from perfport.measure.base import Absent
from perfport.space.options import Level, Option
from perfport.testing.fakes import FakeActuator

CLOCK = Option(name="clock_hz", type="ordinal", values=(1e9, 2e9), default=2e9, owner="actuator")
BOOST = Option(name="boost", type="boolean", owner="actuator")


def test_levels_are_restored_in_reverse_order_also_after_an_exception() -> None:
    log: list[tuple[str, dict[str, Level | None]]] = []
    first, second = FakeActuator((CLOCK,), name="first", log=log), FakeActuator((BOOST,), name="second", log=log)
    with pytest.raises(ZeroDivisionError), applied([first, second], {"clock_hz": 1e9, "boost": True}):
        assert (first.state, second.state) == ({"clock_hz": 1e9}, {"boost": True})
        raise ZeroDivisionError
    assert [name for name, _ in log] == ["first", "second", "second", "first"]
    assert (first.state, second.state) == ({"clock_hz": 2e9}, {"boost": False})


def test_a_level_that_is_not_taken_raises_and_what_was_set_is_restored() -> None:
    first, stubborn = FakeActuator((CLOCK,)), FakeActuator((BOOST,), refuses=(True,))
    with pytest.raises(ActuationError, match="asked"), applied([first, stubborn], {"clock_hz": 1e9, "boost": True}):
        raise AssertionError("the block must not run")
    assert (first.state, stubborn.state) == ({"clock_hz": 2e9}, {"boost": False})


def test_what_cannot_be_restored_is_named_and_the_rest_is_restored() -> None:
    first, sticking = FakeActuator((CLOCK,)), FakeActuator((BOOST,), refuses=(False,))
    with (
        pytest.raises(ActuationError, match="not everything could be restored") as caught,
        applied([first, sticking], {"clock_hz": 1e9, "boost": True}),
    ):
        pass
    assert caught.value.details["unrestored"] == {"boost": False}
    assert first.state["clock_hz"] == 2e9


def test_variables_are_set_unset_and_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MY_OWN", raising=False)
    actuator = EnvironmentVariables(["OMP_NUM_THREADS", "MY_OWN"])
    assert actuator.read() == {"OMP_NUM_THREADS": 1, "MY_OWN": None}
    with applied([actuator], {"OMP_NUM_THREADS": None, "MY_OWN": 3}) as back:
        assert back == {"OMP_NUM_THREADS": None, "MY_OWN": 3}
        assert os.environ["MY_OWN"] == "3"
        assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert "MY_OWN" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its processors")
def test_affinity_is_set_and_restored() -> None:
    before = os.sched_getaffinity(0)
    one = str(min(before))
    with applied([CpuAffinity()], {"cpus": one}) as back:
        assert back == {"cpus": one}
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its processors")
def test_a_processor_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ActuationError, match="lets the process use"):
        CpuAffinity().apply({"cpus": "4000"})


def test_affinity_without_support_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    actuator = CpuAffinity()
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert isinstance(actuator.availability(), Absent)
    with pytest.raises(ActuationError, match="does not let a process choose"):
        actuator.apply({"cpus": "0"})


@pytest.mark.parametrize("text", ["", "a", "1-", "-", "3-1"])
def test_texts_that_are_no_processors_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no list of processors"):
        parse_cpu_list(text)


def test_lists_of_processors_are_read_as_they_are_written() -> None:
    assert parse_cpu_list(cpu_list({0, 1, 2, 5, 7, 8})) == {0, 1, 2, 5, 7, 8}


def test_options_find_their_actuators_by_name() -> None:
    found = actuators_for(["cpus", "ONEDNN_MAX_CPU_ISA", "ANYTHING"])
    assert sorted(actuator.name for actuator in found) == ["affinity", "environment"]
    with pytest.raises(UsageError, match=r"no actuator sets clock; known are .*cpus"):
        actuators_for(["clock"])
