"""Real devices, for whoever has them: `python -m pytest -m hardware -rs`. Not run on hardware by us."""

import time
from pathlib import Path

import pytest

from perfport.measure.actuators import Journal, applied
from perfport.measure.actuators.processor import CpuFrequency
from perfport.measure.base import Absent, Actuator, Meter
from perfport.measure.machine.lease import device_lease
from perfport.measure.meters.nvml import NvmlMeter
from perfport.measure.meters.rapl import RaplMeter

pytestmark = pytest.mark.hardware


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    """Leave devices alone in a run that names no markers."""
    if "hardware" not in str(request.config.getoption("-m")):
        pytest.skip("devices are read and set only by pytest -m hardware")


def skip_if_absent(device: Meter | Actuator) -> None:
    availability = device.availability()
    if isinstance(availability, Absent):
        pytest.skip(availability.reason)


def energy_j(meter: Meter) -> dict[str, float]:
    """Read a window in which one core works."""
    meter.start()
    end_s = time.perf_counter() + max(1.0, meter.min_window_s)
    while time.perf_counter() < end_s:
        sum(range(10_000))
    return dict(meter.stop())


def test_every_counter_of_rapl_grows_from_window_to_window() -> None:
    meter = RaplMeter()
    skip_if_absent(meter)
    for _ in range(2):
        found = energy_j(meter)
        assert set(found) == {told.name for told in meter.properties}
        # Between a board at rest and the largest server: anything else is a unit that is wrong.
        assert 0.1 < found["cpu_energy_j"] < 5000
        assert all(joules > 0 for joules in found.values())


def test_the_gpu_tells_its_energy() -> None:
    meter = NvmlMeter()
    skip_if_absent(meter)
    (found_j,) = energy_j(meter).values()
    assert 1 < found_j < 50_000
    assert meter.provenance()


def test_the_processors_clock_is_set_read_back_and_restored() -> None:
    actuator = CpuFrequency()
    skip_if_absent(actuator)
    option = next((found for found in actuator.options if found.name == "cpu_freq_hz"), None)
    if option is None or not option.levels:
        pytest.skip("the driver of this processor lists no clock that all cores share")
    policies = sorted(Path("/sys/devices/system/cpu/cpufreq").glob("policy*/scaling_m??_freq"))
    before = [file.read_text() for file in policies]
    lowest_hz = option.levels[0]
    with (
        device_lease("hardware tests"),
        applied([actuator], {"cpu_freq_hz": lowest_hz}, journal=Journal()) as back,
    ):
        assert back == {"cpu_freq_hz": lowest_hz}
        assert actuator.read()["cpu_freq_hz"] == lowest_hz
    assert [file.read_text() for file in policies] == before
