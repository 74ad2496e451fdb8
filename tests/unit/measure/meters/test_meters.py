"""Counters and sensors on constructed trees, and the reasons where there are none."""

import inspect
import sys
from pathlib import Path

import pytest
from tests import trees
from tests.unit.measure.meters.fake_zeus import FakeMonitor

from perfport.errors import MeterUnavailableError, UnknownPluginError
from perfport.measure.base import Absent, Available, Meter
from perfport.measure.meters import make_meters
from perfport.measure.meters.battery import BatteryMeter
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.meters.energy import EnergyMeter
from perfport.measure.meters.hwmon import HwmonMeter
from perfport.measure.meters.jetson import JetsonMeter
from perfport.measure.meters.nvml import NvmlMeter
from perfport.measure.meters.rapl import RaplMeter
from perfport.measure.meters.zeus import ZeusMeter
from perfport.testing.fakes_nvml import FakeGpu, FakeNvml

NO_GPU = FakeNvml(has_driver=False)


def reason(meter: Meter) -> str:
    availability = meter.availability()
    assert isinstance(availability, Absent)
    with pytest.raises(MeterUnavailableError):
        meter.start()
    return availability.reason


def detail(meter: Meter) -> str:
    availability = meter.availability()
    assert isinstance(availability, Available)
    return availability.detail


class Test_rapl:  # noqa: N801  # the meter's name
    def test_packages_and_memory_are_summed_and_what_overlaps_is_not(self, tmp_path: Path) -> None:
        root = trees.powercap(tmp_path)
        meter = RaplMeter(root / "class/powercap")
        assert detail(meter).startswith("2 package counters and 2 of memory")
        meter.start()
        moved = {
            "intel-rapl:0": 2_500_000,
            "intel-rapl:1": 250_000,
            "intel-rapl:0:1": 400_000,
            "intel-rapl:1:0": 100_000,
        }
        trees.count_energy(root, moved | {"intel-rapl:0:0": 9, "intel-rapl:2": 9, "intel-rapl-mmio:0": 9})
        assert meter.stop() == {"cpu_energy_j": pytest.approx(2.75), "dram_energy_j": pytest.approx(0.5)}
        assert meter.provenance()["kind"] == "counter"
        assert "intel-rapl:0:1 dram" in str(meter.provenance()["parts"])

    def test_a_counter_that_wraps_goes_on_from_its_range(self, tmp_path: Path) -> None:
        root = trees.powercap(tmp_path)
        trees.count_energy(root, {"intel-rapl:0": trees.RAPL_RANGE_UJ - 1_400_000})
        meter = RaplMeter(root / "class/powercap")
        meter.start()
        trees.count_energy(root, {"intel-rapl:0": 500_000, "intel-rapl:0:1": 1})
        assert int((root / "class/powercap/intel-rapl:0/energy_uj").read_text()) == 100_000
        assert meter.stop()["cpu_energy_j"] == pytest.approx(0.5)

    def test_a_counter_that_only_root_may_read_is_absent_with_the_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, read = trees.powercap(tmp_path), Path.read_text

        def refuse(path: Path) -> str:
            if path.name == "energy_uj":
                raise PermissionError(13, "Permission denied", str(path))
            return read(path)

        # Tests may run as root, whom no file mode keeps out.
        monkeypatch.setattr(Path, "read_text", refuse)
        said = reason(RaplMeter(root / "class/powercap"))
        assert "root only" in said
        assert "sudo chmod a+r" in said

    def test_without_counters_it_says_what_is_missing(self, tmp_path: Path) -> None:
        assert f"no {tmp_path}/intel-rapl" in reason(RaplMeter(tmp_path))

    def test_a_counter_without_a_number_is_absent_and_not_zero(self, tmp_path: Path) -> None:
        root = trees.powercap(tmp_path)
        trees.write_files(root, {"class/powercap/intel-rapl:1/energy_uj": ""})
        assert "cannot be read" in reason(RaplMeter(root / "class/powercap"))

    def test_counters_that_stand_still_are_an_error_and_not_zero(self, tmp_path: Path) -> None:
        meter = RaplMeter(trees.powercap(tmp_path) / "class/powercap")
        meter.start()
        with pytest.raises(MeterUnavailableError, match="did not move"):
            meter.stop()

    def test_a_counter_that_goes_away_during_a_window_raises(self, tmp_path: Path) -> None:
        root = trees.powercap(tmp_path)
        meter = RaplMeter(root / "class/powercap")
        meter.start()
        (root / "class/powercap/intel-rapl:1/energy_uj").unlink()
        with pytest.raises(MeterUnavailableError, match="any more"):
            meter.stop()


class Test_jetson:  # noqa: N801
    def test_tx2_rails_are_read_by_name_each_in_its_column(self, tmp_path: Path) -> None:
        meter = JetsonMeter(trees.tx2(tmp_path), interval_s=0.001)
        assert {rail.name: round(rail.power_w(), 6) for rail in meter.rails()} == {
            "VDD_IN": 7.64,
            "VDD_SYS_CPU": 2.29,
            "VDD_SYS_GPU": 1.52,
        }
        assert meter.whole_module() == ("VDD_IN",)
        meter.start()
        read = meter.stop()
        assert read["vdd_in_energy_j"] == pytest.approx(read["vdd_sys_gpu_energy_j"] * 7.64 / 1.52)
        assert meter.provenance()["kind"] == "integrated power"

    def test_tx1_without_rail_names_is_read_where_the_study_read_it(self, tmp_path: Path) -> None:
        meter = JetsonMeter(trees.tx1(tmp_path))
        assert [(rail.name, rail.power_w()) for rail in meter.rails()] == [("VDD_IN", 4.21)]

    def test_orin_power_is_volts_times_amperes_of_connected_channels(self, tmp_path: Path) -> None:
        meter = JetsonMeter(trees.orin(tmp_path))
        assert {rail.name: round(rail.power_w(), 6) for rail in meter.rails()} == {
            "VDDQ_VDD2_1V8AO": 0.45,
            "VDD_CPU_CV": 1.9,
            "VDD_GPU_SOC": 5.7,
            "VIN_SYS_5V0": 4.0,
        }
        assert meter.whole_module() == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

    def test_a_rail_that_fails_in_a_window_makes_no_number(self, tmp_path: Path) -> None:
        root = trees.tx2(tmp_path)
        meter = JetsonMeter(root, interval_s=0.001)
        meter.start()
        trees.write_files(root, {"bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input": "busy"})
        with pytest.raises(MeterUnavailableError, match="busy"):
            meter.stop()

    def test_elsewhere_it_says_what_is_missing(self, tmp_path: Path) -> None:
        assert "no INA3221 power monitor" in reason(JetsonMeter(tmp_path))


class Test_hwmon:  # noqa: N801
    def test_power_is_taken_where_the_chip_tells_it(self, tmp_path: Path) -> None:
        meter = HwmonMeter(trees.ina226(tmp_path) / "class/hwmon", interval_s=0.001)
        assert [(sensor.name, sensor.read()) for sensor in meter.sensors()] == [("ina226 power1", 3.25)]
        assert [found.name for found in meter.properties] == ["hwmon_ina226_power1_energy_j"]

    def test_volts_and_amperes_make_watts_where_there_is_no_power(self, tmp_path: Path) -> None:
        root = trees.ina226(tmp_path) / "class/hwmon"
        (root / "hwmon1/power1_input").unlink()
        (sensor,) = HwmonMeter(root).sensors()
        assert sensor.read() == pytest.approx(5.08 * 0.64)

    def test_energy_counters_are_subtracted(self, tmp_path: Path) -> None:
        chip: dict[str, str | int] = {"name": "amd_energy", "energy1_label": "Esocket0", "energy1_input": 1_000_000}
        trees.write_files(tmp_path, {f"hwmon5/{file}": text for file, text in chip.items()})
        meter = HwmonMeter(tmp_path)
        meter.start()
        trees.write_files(tmp_path, {"hwmon5/energy1_input": 3_500_000})
        assert meter.stop() == {"hwmon_amd_energy_esocket0_energy_j": pytest.approx(2.5)}
        assert meter.provenance() == {"kind": "counter", "parts": ["amd_energy Esocket0"]}
        meter.start()
        with pytest.raises(MeterUnavailableError, match="did not go forwards"):
            meter.stop()

    def test_two_chips_of_a_kind_are_told_apart(self, tmp_path: Path) -> None:
        for number in (1, 2):
            trees.write_files(tmp_path, {f"hwmon{number}/name": "ina226", f"hwmon{number}/power1_input": 1})
        assert len({found.name for found in HwmonMeter(tmp_path).properties}) == 2


class Test_battery:  # noqa: N801
    def test_what_it_gives_is_integrated_and_a_mouse_is_not_the_machine(self, tmp_path: Path) -> None:
        meter = BatteryMeter(trees.laptop_battery(tmp_path) / "class/power_supply", interval_s=0.001)
        assert detail(meter) == "BAT0, discharging at 11.5 W"
        meter.start()
        assert meter.stop()["battery_energy_j"] > 0
        assert meter.provenance()["kind"] == "battery"

    def test_on_mains_it_is_absent(self, tmp_path: Path) -> None:
        root = trees.laptop_battery(tmp_path, status="Charging") / "class/power_supply"
        assert reason(BatteryMeter(root)) == "BAT0 is not discharging (Charging); unplug the charger"

    def test_a_charger_plugged_in_during_a_window_makes_no_number(self, tmp_path: Path) -> None:
        meter = BatteryMeter(trees.laptop_battery(tmp_path) / "class/power_supply")
        meter.start()
        trees.laptop_battery(tmp_path, status="Charging")
        with pytest.raises(MeterUnavailableError, match="unplug the charger"):
            meter.stop()

    def test_a_gauge_that_tells_no_power_is_absent(self, tmp_path: Path) -> None:
        trees.write_files(tmp_path, {"BAT0/type": "Battery", "BAT0/status": "Discharging", "BAT0/energy_now": 5})
        assert "tells no power" in reason(BatteryMeter(tmp_path))


class Test_nvml:  # noqa: N801
    def test_counters_are_subtracted(self) -> None:
        now_s = 100.0
        nvml = FakeNvml([FakeGpu("GPU-a", power_w=50), FakeGpu("GPU-b", power_w=150)], clock=lambda: now_s)
        meter = NvmlMeter(nvml)
        meter.start()
        now_s = 102.0
        assert meter.stop() == {"gpu_energy_j": pytest.approx(400)}
        assert meter.provenance() == {"kind": "counter", "parts": ["GPU-a", "GPU-b"]}

    def test_older_gpus_are_integrated(self) -> None:
        meter = NvmlMeter(FakeNvml([FakeGpu(counts_energy=False)]), interval_s=0.001)
        assert detail(meter).endswith("integrated power")
        meter.start()
        assert meter.stop()["gpu_energy_j"] > 0
        assert meter.provenance()["kind"] == "integrated power"

    def test_a_counter_that_stands_still_is_an_error_and_not_zero(self) -> None:
        meter = NvmlMeter(FakeNvml(clock=lambda: 5.0))
        meter.start()
        with pytest.raises(MeterUnavailableError, match="did not go forwards"):
            meter.stop()

    def test_only_visible_gpus_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nvml = FakeNvml([FakeGpu("GPU-a", power_w=1e6), FakeGpu("GPU-b", power_w=1e6)])
        for visible, read in (("1", ["GPU-b"]), ("GPU-a", ["GPU-a"])):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
            meter = NvmlMeter(nvml)
            meter.start()
            meter.stop()
            assert meter.provenance()["parts"] == read
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert reason(NvmlMeter(nvml)) == "CUDA_VISIBLE_DEVICES names no GPU"

    def test_what_is_missing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "no NVIDIA driver" in reason(NvmlMeter(NO_GPU))
        assert "finds no GPU" in reason(NvmlMeter(FakeNvml([])))
        monkeypatch.setitem(sys.modules, "pynvml", None)
        monkeypatch.setattr("perfport.measure.machine.nvidia.find_library", lambda _: "libnvidia-ml.so.1")
        assert 'pip install "perfport[gpu]"' in reason(NvmlMeter())

    def test_the_constructed_library_has_the_signatures_of_the_real_one(self) -> None:
        pynvml = pytest.importorskip("pynvml")
        functions = [name for name in dir(FakeNvml) if name.startswith("nvml")]
        assert functions
        for name in functions:
            real = inspect.signature(getattr(pynvml, name)).parameters
            assert list(inspect.signature(getattr(FakeNvml, name)).parameters)[1:] == list(real), name
        for name in (name for name in vars(FakeNvml) if name.startswith("NVML")):
            assert hasattr(pynvml, name), name


class Test_zeus:  # noqa: N801
    def test_devices_are_added_up(self) -> None:
        meter = ZeusMeter(lambda: FakeMonitor({0: 2.0, 1: 1.0}, {0: 4.0}, {0: 0.5}))
        meter.start()
        assert meter.stop() == {"zeus_energy_j": 7.5}
        assert meter.provenance()["parts"] == ["cpu 0", "dram 0", "gpu 0", "gpu 1"]

    def test_no_device_is_absent_where_zeus_says_zero_joules(self) -> None:
        assert "it would report 0 J" in reason(ZeusMeter(FakeMonitor))

    def test_a_device_that_reads_zero_is_an_error(self) -> None:
        meter = ZeusMeter(lambda: FakeMonitor({0: 2.0, 1: 0.0}))
        meter.start()
        with pytest.raises(MeterUnavailableError, match="0 J of gpu 1"):
            meter.stop()

    @pytest.mark.slow
    def test_the_real_zeus_finds_something_or_is_absent(self) -> None:
        pytest.importorskip("zeus", reason="zeus is not installed (extra gpu)")
        meter = ZeusMeter()
        assert isinstance(meter.availability(), Available) or "zeus finds no GPU" in reason(meter)


class Test_energy:  # noqa: N801
    def test_processors_memory_and_gpus_are_added_up_and_named(self, tmp_path: Path) -> None:
        root, now_s = trees.powercap(tmp_path), 10.0
        meter = EnergyMeter(root, nvml=FakeNvml(clock=lambda: now_s))
        assert meter.min_window_s == 2.0
        meter.start()
        now_s = 12.0
        trees.count_energy(root, {"intel-rapl:0": 2_000_000, "intel-rapl:0:1": 500_000})
        assert meter.stop() == {"energy_j": pytest.approx(102.5)}
        told = meter.provenance()
        assert told["added_up"] == ["cpu_energy_j", "dram_energy_j", "gpu_energy_j"]
        assert isinstance(told["sources"], dict)
        assert {name: how["kind"] for name, how in told["sources"].items()} == {"rapl": "counter", "nvml": "counter"}

    def test_one_source_that_fails_makes_no_number_of_the_rest(self, tmp_path: Path) -> None:
        root = trees.powercap(tmp_path)
        meter = EnergyMeter(root, nvml=FakeNvml(clock=lambda: 1.0))
        meter.start()
        trees.count_energy(root, {"intel-rapl:0": 1, "intel-rapl:0:1": 1})
        with pytest.raises(MeterUnavailableError, match="nvml"):
            meter.stop()

    def test_of_a_jetson_the_whole_module_is_taken_and_not_the_sum_of_nested_rails(self, tmp_path: Path) -> None:
        meter = EnergyMeter(trees.tx2(tmp_path), nvml=NO_GPU)
        assert detail(meter) == "jetson: VDD_IN"
        meter.start()
        meter.stop()
        assert meter.provenance()["added_up"] == ["vdd_in_energy_j"]

    def test_a_single_sensor_is_taken_and_of_several_none(self, tmp_path: Path) -> None:
        root = trees.ina226(tmp_path)
        assert detail(EnergyMeter(root, nvml=NO_GPU)).startswith("hwmon: 1 sensor: ina226")
        trees.write_files(root, {"class/hwmon/hwmon2/name": "ina226", "class/hwmon/hwmon2/power1_input": 1})
        assert "which is the machine is not known" in reason(EnergyMeter(root, nvml=NO_GPU))

    def test_the_battery_is_the_last_resort(self, tmp_path: Path) -> None:
        meter = EnergyMeter(trees.laptop_battery(tmp_path), nvml=NO_GPU)
        assert detail(meter).startswith("battery: BAT0")
        assert meter.min_window_s == 20.0

    def test_absent_energy_names_every_place_that_was_looked_at(self, tmp_path: Path) -> None:
        said = reason(EnergyMeter(tmp_path, nvml=NO_GPU))
        for place in ("INA3221", "intel-rapl", "libnvidia-ml", "class/hwmon", "no battery"):
            assert place in said


def test_meters_are_made_by_name() -> None:
    clock, energy = make_meters(["clock", "energy"])
    assert isinstance(clock, ClockMeter)
    assert isinstance(energy, EnergyMeter)
    with pytest.raises(UnknownPluginError, match="did you mean 'energy'"):
        make_meters(["enery"])
