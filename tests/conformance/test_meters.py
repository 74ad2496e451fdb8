"""Every built-in meter, and the fakes, through the kit; energy on recorded trees, since few machines have counters."""

import tempfile
from pathlib import Path

from perfport.measure.base import Meter
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.meters.energy import EnergyMeter
from perfport.measure.meters.rapl import RaplMeter
from perfport.testing.fakes import FakeMeter
from perfport.testing.kits import MeterKit


def recorded_powercap(root: Path) -> Path:
    """A tree as on a two-package server: packages, a sub-zone, the platform zone, the control type."""
    for zone, name, energy in (
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:1", "package-1", 5_000_000),
        ("intel-rapl:0:0", "dram", 77),
        ("intel-rapl:2", "psys", 99),
    ):
        folder = root / "class" / "powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{energy}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    (root / "class" / "powercap" / "intel-rapl").mkdir()
    return root


class TestClock(MeterKit):
    def make(self) -> Meter:
        return ClockMeter()


class TestEnergyOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return EnergyMeter()


class TestRaplOfThisMachine(MeterKit):
    def make(self) -> Meter:
        return RaplMeter()


class TestRaplOnARecordedTree(MeterKit):
    def make(self) -> Meter:
        root = recorded_powercap(Path(tempfile.mkdtemp()))
        return RaplMeter(root / "class" / "powercap")


class TestEnergyOnARecordedTree(MeterKit):
    def make(self) -> Meter:
        return EnergyMeter(recorded_powercap(Path(tempfile.mkdtemp())))


class TestFakeMeter(MeterKit):
    def make(self) -> Meter:
        return FakeMeter()


class TestAbsentFakeMeter(MeterKit):
    def make(self) -> Meter:
        return FakeMeter(absent="it was left at home")
