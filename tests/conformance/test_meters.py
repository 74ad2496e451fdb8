"""Every built-in meter, and the fakes, through the kit: on this machine, and on constructed trees of others."""

import tempfile
from pathlib import Path

import pytest
from tests import trees
from tests.unit.measure.meters.fake_zeus import FakeMonitor

from perfport.measure.base import Meter
from perfport.measure.meters.battery import BatteryMeter
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.meters.energy import EnergyMeter
from perfport.measure.meters.hwmon import HwmonMeter
from perfport.measure.meters.jetson import JetsonMeter
from perfport.measure.meters.nvml import NvmlMeter
from perfport.measure.meters.rapl import RaplMeter
from perfport.measure.meters.zeus import ZeusMeter
from perfport.testing.fakes import FakeMeter
from perfport.testing.fakes_nvml import FakeGpu, FakeNvml
from perfport.testing.kits import MeterKit


class _OnATree(MeterKit):
    """The kit makes its meter several times, each on a tree of its own."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def new_root(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


class TestClock(MeterKit):
    def make(self) -> Meter:
        return ClockMeter()


class TestEnergyOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return EnergyMeter()


class TestRaplOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return RaplMeter()


class TestJetsonOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return JetsonMeter()


class TestHwmonOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return HwmonMeter()


class TestNvmlOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return NvmlMeter()


class TestRaplOnATree(_OnATree):
    def make(self) -> Meter:
        self.root = trees.powercap(self.new_root())
        return RaplMeter(self.root / "class" / "powercap")

    def during(self) -> None:
        trees.count_energy(self.root, {"intel-rapl:0": 3_000, "intel-rapl:0:1": 1_000})


class TestEnergyOnATree(_OnATree):
    def make(self) -> Meter:
        self.root = trees.powercap(self.new_root())
        return EnergyMeter(self.root, nvml=FakeNvml(has_driver=False))

    def during(self) -> None:
        trees.count_energy(self.root, {"intel-rapl:0": 3_000, "intel-rapl:0:1": 1_000})


class TestJetsonTx2OnATree(_OnATree):
    def make(self) -> Meter:
        return JetsonMeter(trees.tx2(self.new_root()), interval_s=0.001)


class TestJetsonOrinOnATree(_OnATree):
    def make(self) -> Meter:
        return JetsonMeter(trees.orin(self.new_root()), interval_s=0.001)


class TestHwmonOnATree(_OnATree):
    def make(self) -> Meter:
        return HwmonMeter(trees.ina226(self.new_root()) / "class" / "hwmon", interval_s=0.001)


class TestBatteryOnATree(_OnATree):
    def make(self) -> Meter:
        return BatteryMeter(trees.laptop_battery(self.new_root()) / "class" / "power_supply", interval_s=0.001)


class TestNvmlCounter(MeterKit):
    def make(self) -> Meter:
        return NvmlMeter(FakeNvml([FakeGpu(power_w=1e6)]))


class TestNvmlIntegrated(MeterKit):
    def make(self) -> Meter:
        return NvmlMeter(FakeNvml([FakeGpu(counts_energy=False)]), interval_s=0.001)


class TestZeus(MeterKit):
    def make(self) -> Meter:
        return ZeusMeter(lambda: FakeMonitor(gpu_energy={0: 2.0}, cpu_energy={0: 1.0}))


class TestFakeMeter(MeterKit):
    def make(self) -> Meter:
        return FakeMeter()


class TestAbsentFakeMeter(MeterKit):
    def make(self) -> Meter:
        return FakeMeter(absent="it was left at home")
