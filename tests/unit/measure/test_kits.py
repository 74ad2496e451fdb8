"""The conformance kits catch what they are for: each is given an object with one defect."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.measure.base import Absent, Actuator, Availability, Configuration, Meter, Session, System
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.space.options import Level, Option
from perfport.testing.fakes import FakeActuator, FakeMeter, FaultySystem
from perfport.testing.kits import ActuatorKit, MeterKit, SystemKit


class ZeroWhenAbsent(FakeMeter):
    def availability(self) -> Availability:
        return Absent("there is none")

    def start(self) -> None:
        pass


class WrongUnit(FakeMeter):
    properties = (Property("energy_j", "mJ"),)


class LeavesOneOut(FakeMeter):
    def stop(self) -> Mapping[str, float]:
        return {}


class DoesNotReadBack(FakeActuator):
    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        return dict(levels)


class OwnsNothing(FakeActuator):
    def __init__(self) -> None:
        super().__init__((Option(name="boost", type="boolean"),))


class AcceptsAnything(SyntheticSystem):
    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        with super().open({}, workload, seed=seed) as session:
            yield session


class ForgetsASetting(SyntheticSystem):
    @property
    def settings(self) -> dict[str, object]:
        return {}


class TakesNoTime(SyntheticSystem):
    def time_s(self, configuration: Mapping[str, object]) -> float:
        return 0.0


def kit_of(kind: type[SystemKit | MeterKit | ActuatorKit], make: Callable[[], object]) -> object:
    return type("Kit", (kind,), {"make": lambda _: make()})()


@pytest.mark.parametrize(
    ("kind", "make", "test"),
    [
        (MeterKit, ZeroWhenAbsent, "test_reads_every_property_or_refuses_to_start"),
        (MeterKit, WrongUnit, "test_says_what_it_reads_and_in_which_unit"),
        (MeterKit, LeavesOneOut, "test_reads_every_property_or_refuses_to_start"),
        (ActuatorKit, DoesNotReadBack, "test_every_level_is_read_back_and_restored"),
        (ActuatorKit, DoesNotReadBack, "test_refuses_an_unknown_option"),
        (ActuatorKit, OwnsNothing, "test_options_are_its_own"),
        (SystemKit, AcceptsAnything, "test_refuses_an_unknown_option"),
        (SystemKit, lambda: ForgetsASetting(n_options=2), "test_settings_make_an_equal_system"),
        (SystemKit, TakesNoTime, "test_readings_are_positive"),
    ],
)
def test_a_defect_fails_its_test(
    kind: type[SystemKit | MeterKit | ActuatorKit], make: Callable[[], object], test: str
) -> None:
    with pytest.raises(AssertionError):
        getattr(kit_of(kind, make), test)()


def test_a_kit_without_an_object_says_what_is_missing() -> None:
    for kit in (SystemKit(), MeterKit(), ActuatorKit()):
        with pytest.raises(NotImplementedError, match="how the object is made"):
            kit.make()


def test_fakes_are_what_the_protocols_ask_for() -> None:
    system: System = FaultySystem()
    meter: Meter = FakeMeter()
    actuator: Actuator = FakeActuator()
    assert {system.name, meter.name, actuator.name} == {"faulty", "fake"}
