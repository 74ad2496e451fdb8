"""Energy counters on recorded trees, and the reasons where there are none."""

from pathlib import Path

import pytest

from perfport.errors import MeterUnavailableError, UnknownPluginError
from perfport.measure.base import Absent, Available
from perfport.measure.meters import make_meters
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.meters.energy import EnergyMeter
from perfport.measure.meters.rapl import RaplMeter

RANGE_UJ = 262_143_328_850


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """As on a two-package server."""
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        set_counter(tmp_path / zone, 1_000_000)
    return tmp_path


def set_counter(zone: Path, energy_uj: int) -> None:
    (zone / "energy_uj").write_text(f"{energy_uj}\n")


def test_packages_are_summed_and_their_parts_are_not(powercap: Path) -> None:
    meter = RaplMeter(powercap)
    meter.start()
    set_counter(powercap / "intel-rapl:0", 3_500_000)
    set_counter(powercap / "intel-rapl:1", 1_250_000)
    set_counter(powercap / "intel-rapl:0:0", 9_000_000)
    assert meter.stop() == {"energy_j": pytest.approx(2.75)}


def test_a_counter_that_wraps_goes_on_from_its_range(powercap: Path) -> None:
    set_counter(powercap / "intel-rapl:0", RANGE_UJ - 400_000)
    meter = RaplMeter(powercap)
    meter.start()
    set_counter(powercap / "intel-rapl:0", 100_000)
    assert meter.stop() == {"energy_j": pytest.approx(0.5)}


def test_a_counter_that_only_root_may_read_is_absent_with_the_remedy(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return "package-0\n"

    # Tests may run as root, whom no file mode keeps out.
    monkeypatch.setattr(Path, "read_text", refuse)
    availability = RaplMeter(powercap).availability()
    assert isinstance(availability, Absent)
    assert "root only" in availability.reason
    assert "chmod" in availability.reason
    with pytest.raises(MeterUnavailableError, match="root only"):
        RaplMeter(powercap).start()


def test_a_machine_without_counters_says_what_is_missing(tmp_path: Path) -> None:
    availability = RaplMeter(tmp_path).availability()
    assert isinstance(availability, Absent)
    assert f"no {tmp_path}/intel-rapl" in availability.reason


def test_a_counter_that_holds_no_number_is_absent_and_not_zero(powercap: Path) -> None:
    (powercap / "intel-rapl:1" / "energy_uj").write_text("\n")
    assert isinstance(RaplMeter(powercap).availability(), Absent)


def test_a_counter_that_goes_away_during_a_window_raises(powercap: Path) -> None:
    meter = RaplMeter(powercap)
    meter.start()
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(MeterUnavailableError, match="any more"):
        meter.stop()


def test_energy_takes_the_counter_that_is_there(powercap: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("sys")
    (root / "class").mkdir()
    (root / "class" / "powercap").symlink_to(powercap)
    meter = EnergyMeter(root)
    availability = meter.availability()
    assert isinstance(availability, Available)
    assert availability.detail.startswith("rapl: 2 package counters")
    assert meter.min_window_s == RaplMeter.min_window_s
    meter.start()
    set_counter(powercap / "intel-rapl:0", 2_000_000)
    assert meter.stop() == {"energy_j": pytest.approx(1.0)}


def test_absent_energy_names_every_place_that_was_looked_at(tmp_path: Path) -> None:
    availability = EnergyMeter(tmp_path).availability()
    assert isinstance(availability, Absent)
    for place in ("intel-rapl", "hwmon", "INA", "battery", "NVML"):
        assert place in availability.reason
    with pytest.raises(MeterUnavailableError, match="intel-rapl"):
        EnergyMeter(tmp_path).start()


def test_a_sensor_without_a_reader_is_said_to_be_there(tmp_path: Path) -> None:
    sensor = tmp_path / "class" / "hwmon" / "hwmon3"
    sensor.mkdir(parents=True)
    (sensor / "power1_input").write_text("1200000\n")
    availability = EnergyMeter(tmp_path).availability()
    assert isinstance(availability, Absent)
    assert "hwmon3/power1_input is there, but no meter for it is built in" in availability.reason


def test_meters_are_made_by_name() -> None:
    clock, energy = make_meters(["clock", "energy"])
    assert isinstance(clock, ClockMeter)
    assert isinstance(energy, EnergyMeter)
    with pytest.raises(UnknownPluginError, match="did you mean 'energy'"):
        make_meters(["enery"])
