"""Every built-in actuator, and the fake, through the kit: on this machine, and on constructed trees of others."""

import stat
from pathlib import Path

import pytest
from tests import trees

from perfport.measure.actuators.allocator import Allocator
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.devfreq import JetsonClocks
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.nvml import NvmlSettings
from perfport.measure.actuators.nvpmodel import PowerMode
from perfport.measure.actuators.opml19 import Opml19Profile
from perfport.measure.actuators.process import CpuAffinity, EnvironmentVariables
from perfport.measure.actuators.processor import CpuFrequency, CpuHotplug, Smt
from perfport.measure.base import Actuator
from perfport.testing.fakes import FakeActuator
from perfport.testing.fakes_nvml import FakeNvml
from perfport.testing.kits import ActuatorKit


class _OneTree(ActuatorKit):
    """The kit makes its actuator several times; the machine stays the same."""

    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path) -> None:
        self.root = tmp_path


class TestEnvironmentVariables(ActuatorKit):
    def make(self) -> Actuator:
        return EnvironmentVariables()


class TestCpuAffinity(ActuatorKit):
    def make(self) -> Actuator:
        return CpuAffinity()


class TestCpuQuotaOfThisMachine(ActuatorKit):
    """Real where control groups can be made: the test process moves into its own and back."""

    def make(self) -> Actuator:
        return CpuQuota()


class TestAllocator(ActuatorKit):
    """Other allocators need a process started with them; see the tests of the child."""

    def make(self) -> Actuator:
        return Allocator({})


class TestHugePagesOnATree(_OneTree):
    def make(self) -> Actuator:
        return HugePages(self.root if any(self.root.iterdir()) else trees.server(self.root))


class TestCpuFrequencyOnAServer(_OneTree):
    def make(self) -> Actuator:
        return CpuFrequency(self.root if any(self.root.iterdir()) else trees.server(self.root))


class TestCpuFrequencyOnATx2(_OneTree):
    def make(self) -> Actuator:
        return CpuFrequency(self.root if any(self.root.iterdir()) else trees.tx2(self.root))


class TestCpuHotplugOnATree(_OneTree):
    def make(self) -> Actuator:
        return CpuHotplug(self.root if any(self.root.iterdir()) else trees.tx2(self.root))


class TestSmtOnATree(_OneTree):
    def make(self) -> Actuator:
        return Smt(self.root if any(self.root.iterdir()) else trees.server(self.root))


class TestJetsonClocksOnATx2(_OneTree):
    def make(self) -> Actuator:
        return JetsonClocks(self.root if any(self.root.iterdir()) else trees.tx2(self.root))


class TestJetsonClocksOnATx1(_OneTree):
    def make(self) -> Actuator:
        return JetsonClocks(self.root if any(self.root.iterdir()) else trees.tx1(self.root))


class TestOpml19OnATx2(_OneTree):
    def make(self) -> Actuator:
        return Opml19Profile(self.root if any(self.root.iterdir()) else trees.tx2(self.root))


class TestOpml19OnATx1(_OneTree):
    def make(self) -> Actuator:
        return Opml19Profile(self.root if any(self.root.iterdir()) else trees.tx1(self.root))


class TestNvml(ActuatorKit):
    nvml = FakeNvml()

    def make(self) -> Actuator:
        return NvmlSettings(self.nvml)


class TestPowerMode(_OneTree):
    def make(self) -> Actuator:
        return PowerMode(*fake_nvpmodel(self.root))


class TestAbsentCpuFrequency(ActuatorKit):
    def make(self) -> Actuator:
        return CpuFrequency("/nowhere")


class TestAbsentNvml(ActuatorKit):
    def make(self) -> Actuator:
        return NvmlSettings(FakeNvml(has_driver=False))


class TestAbsentPowerMode(ActuatorKit):
    def make(self) -> Actuator:
        return PowerMode(program="no such program")


class TestFakeActuator(ActuatorKit):
    def make(self) -> Actuator:
        return FakeActuator()


def fake_nvpmodel(root: Path) -> tuple[Path, str]:
    """A constructed nvpmodel: keeps its mode in a file; mode MAXN_SUPER wants a reboot and stays as it is."""
    config, program, mode = root / "nvpmodel.conf", root / "nvpmodel", root / "mode"
    if not config.exists():
        names = ("MAXN", "15W", "30W", "MAXN_SUPER")
        config.write_text("".join(f"< POWER_MODEL ID={n} NAME={name} >\n" for n, name in enumerate(names)))
        mode.write_text("15W 1")
        program.write_text(
            "#!/bin/sh\n"
            f"mode={mode}\n"
            'if [ "$1" = -q ]; then read name number < $mode; echo "NV Power Mode: $name"; echo $number; exit; fi\n'
            'case "$2" in 0) echo "MAXN 0" > $mode;; 1) echo "15W 1" > $mode;; 2) echo "30W 2" > $mode;;\n'
            '*) echo "NVPM WARN: Reboot required for changing to this power mode" ;; esac\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return config, str(program)
