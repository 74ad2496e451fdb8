"""Windows over several meters, absence, and energy net of what the idle machine takes."""

import pytest

from perfport.errors import MeterUnavailableError, UsageError
from perfport.measure.runner.metering import BASELINE_LASTS_S, Metering, properties_read
from perfport.testing.fakes import FakeMeter


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds


class Broken(FakeMeter):
    """Cannot be read at the end of a window."""

    def stop(self) -> dict[str, float]:
        raise MeterUnavailableError("the cable came off")


def test_readings_are_per_input_and_absent_meters_say_why() -> None:
    clock = Clock()
    metering = Metering([FakeMeter(2.0, clock=clock)])
    metering.start()
    clock.now_s = 3.0
    window = metering.stop(4)
    assert window.readings["energy_j"].tolist() == [1.5]
    absent = Metering([FakeMeter(absent="it was left at home")])
    assert absent.absent == {"energy_j": "it was left at home"}
    assert absent.length_s(1.0) == 0


def test_a_meter_that_fails_is_absent_and_the_rest_is_kept() -> None:
    metering = Metering([Broken()])
    metering.start()
    window = metering.stop(1)
    assert window.absent == {"energy_j": "the cable came off"}
    assert not window.readings


def test_net_energy_is_what_the_window_took_beyond_the_idle_machine() -> None:
    clock = Clock()
    meter = FakeMeter(2.0, clock=clock, min_window_s=5.0)
    metering = Metering([meter], clock=clock, sleep=clock.pass_by)
    metering.measure_idle("slow clocks", 1.0)
    assert clock.now_s == 5.0
    meter.power_w = 6.0
    metering.start()
    clock.pass_by(3.0)
    window = metering.stop(2, idle="slow clocks")
    assert {name: values.tolist() for name, values in window.readings.items()} == {
        "energy_j": [9.0],
        "net_energy_j": [6.0],
    }
    assert window.conditions == {"meters": {"idle_baseline": {"power_w": 2.0, "window_s": 3.0}}}


def test_a_window_that_took_no_more_than_idle_has_no_net_energy_instead_of_a_negative_one() -> None:
    clock = Clock()
    meter = FakeMeter(6.0, clock=clock)
    metering = Metering([meter], clock=clock, sleep=clock.pass_by)
    metering.measure_idle((), 1.0)
    meter.power_w = 2.0
    metering.start()
    clock.pass_by(1.0)
    window = metering.stop(1, idle=())
    assert "no more than the idle machine" in window.absent["net_energy_j"]
    assert set(window.readings) == {"energy_j"}


def test_the_baseline_is_read_once_for_each_setting_of_the_machine_until_it_is_old() -> None:
    clock = Clock()
    meter = FakeMeter(clock=clock)
    metering = Metering([meter], clock=clock, sleep=clock.pass_by)
    for settings in ("a", "a", "b", "a"):
        metering.measure_idle(settings, 1.0)
    assert meter.windows == 2
    clock.pass_by(BASELINE_LASTS_S)
    metering.measure_idle("a", 1.0)
    assert meter.windows == 3
    metering.start()
    assert "net_energy_j" not in metering.stop(1, idle="never read").readings


def test_two_meters_of_one_property_are_refused() -> None:
    with pytest.raises(UsageError, match="energy_j is read by fake and fake"):
        Metering([FakeMeter(), FakeMeter()])


def test_net_energy_is_among_the_properties_where_energy_is() -> None:
    assert [found.name for found in properties_read([FakeMeter()])] == ["energy_j", "net_energy_j"]
    assert properties_read([]) == []
