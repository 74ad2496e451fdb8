"""Setting, reading back and restoring."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import trees
from tests.conformance.test_actuators import fake_nvpmodel

from perfport.errors import ActuationError, UsageError
from perfport.measure.actuators import actuators_for, applied, check_settable, options_named, start_variables
from perfport.measure.actuators.allocator import Allocator
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.devfreq import JetsonClocks
from perfport.measure.actuators.files import read_text
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.nvml import NvmlSettings
from perfport.measure.actuators.nvpmodel import PowerMode
from perfport.measure.actuators.opml19 import Opml19Profile
from perfport.measure.actuators.process import CpuAffinity, EnvironmentVariables, cpu_list, parse_cpu_list
from perfport.measure.actuators.processor import CpuFrequency, CpuHotplug, Smt
from perfport.measure.base import Absent, Actuator, Available
from perfport.space.options import Level, Option
from perfport.testing.fakes import FakeActuator
from perfport.testing.fakes_nvml import FakeGpu, FakeNvml

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


def absent(actuator: Actuator) -> str:
    availability = actuator.availability()
    assert isinstance(availability, Absent)
    return availability.reason


def test_a_clock_is_fixed_as_both_bounds_of_every_processor_and_ranges_come_back(tmp_path: Path) -> None:
    root = trees.server(tmp_path)
    cpufreq = root / "devices/system/cpu/cpufreq"
    trees.write_files(cpufreq, {"policy2/scaling_governor": "performance", "policy2/scaling_max_freq": 2_000_000})
    actuator = CpuFrequency(root)
    assert actuator.read() == {"governor": None, "cpu_freq_hz": None}  # the processors differ
    # intel_pstate lists no clocks: steps of 100 MHz, and its own two ends.
    levels = actuator.options[1].values or ()
    assert (levels[0], levels[1], levels[-2], levels[-1]) == (0.8e9, 0.9e9, 3.4e9, 3.45e9)
    with applied([actuator], {"cpu_freq_hz": 1.2e9, "governor": "performance"}):
        for policy in range(4):
            for file in ("scaling_min_freq", "scaling_max_freq"):
                assert read_text(cpufreq / f"policy{policy}" / file) == "1200000"
    assert read_text(cpufreq / "policy2/scaling_max_freq") == "2000000"
    assert read_text(cpufreq / "policy0/scaling_max_freq") == "3450000"
    assert [read_text(cpufreq / f"policy{n}/scaling_governor") for n in range(4)] == [
        "powersave",
        "powersave",
        "performance",
        "powersave",
    ]


def test_a_bound_that_is_refused_at_first_is_written_when_the_other_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.tx2(tmp_path)
    actuator = CpuFrequency(root)
    actuator.apply({"cpu_freq_hz": 499.2e6})

    def as_old_kernels_do(path: Path, text: str) -> None:
        low, high = (int(read_text(path.parent / f"scaling_{bound}_freq")) for bound in ("min", "max"))
        if ("min" in path.name and int(text) > high) or ("max" in path.name and int(text) < low):
            raise OSError(22, "Invalid argument")
        path.write_text(f"{text}\n")

    monkeypatch.setattr("perfport.measure.actuators.files.write_text", as_old_kernels_do)
    for hz in (2035.2e6, 345.6e6):
        assert actuator.apply({"cpu_freq_hz": hz}) == {"cpu_freq_hz": hz}


def test_a_level_the_kernel_changes_is_found_by_reading_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actuator = HugePages(trees.server(tmp_path))
    monkeypatch.setattr("perfport.measure.actuators.files.write_text", lambda path, _: path.write_text("always\n"))
    with pytest.raises(ActuationError, match="asked never, found always"):
        actuator.apply({"transparent_hugepages": "never"})


def test_without_the_right_to_write_the_remedy_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actuator = CpuFrequency(trees.server(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert absent(actuator).endswith("cannot be written: run as root (sudo)")


def test_processors_go_off_line_and_come_back(tmp_path: Path) -> None:
    root = trees.tx2(tmp_path)
    actuator = CpuHotplug(root)
    before = actuator.read()
    assert before == {f"cpu{n}_online": n not in (1, 2) for n in range(6)}
    with applied([actuator], {"cpu5_online": False, "cpu1_online": True}):
        assert read_text(root / "devices/system/cpu/cpu5/online") == "0"
    assert actuator.read() == before


def test_multithreading_that_cannot_be_switched_is_absent(tmp_path: Path) -> None:
    for word, told in (("notsupported", "one thread a core"), ("forceoff", "until the next boot")):
        trees.write_files(tmp_path, {"devices/system/cpu/smt/control": word})
        assert told in absent(Smt(tmp_path))


def test_the_memory_clock_is_locked_and_unlocked_again(tmp_path: Path) -> None:
    root = trees.tx2(tmp_path)
    emc = root / "kernel/debug/bpmp/debug/clk/emc"
    actuator = JetsonClocks(root)
    assert actuator.read() == {"gpu_freq_hz": None, "emc_freq_hz": None}  # both move freely
    with applied([actuator], {"emc_freq_hz": 1866e6, "gpu_freq_hz": 1300.5e6}) as back:
        assert back == {"emc_freq_hz": 1866e6, "gpu_freq_hz": 1300.5e6}
        assert (read_text(emc / "rate"), read_text(emc / "mrq_rate_locked")) == ("1866000000", "1")
    assert (read_text(emc / "rate"), read_text(emc / "mrq_rate_locked")) == ("408000000", "0")


def test_the_profile_of_the_study_has_its_nine_options_and_published_levels(tmp_path: Path) -> None:
    root = trees.tx2(tmp_path)
    actuator = Opml19Profile(root)
    levels = {option.name: option.values for option in actuator.options}
    assert list(levels) == [
        *("core0_status", "core1_status", "core2_status", "core3_status", "core_freq"),
        *("gpu_status", "gpu_freq", "emc_status", "emc_freq"),
    ]
    assert levels["gpu_freq"] == (140250000, 497250000, 943500000, 1300500000)
    assert levels["emc_freq"] == (1062400000, 1331200000, 1600000000, 1866000000)
    assert len(levels["core_freq"] or ()) == 12
    with applied([actuator], {"core3_status": 0, "core_freq": 345600, "gpu_status": 1}):
        assert read_text(root / "devices/system/cpu/cpu5/online") == "0"  # the study's core 3 of the TX2
        assert read_text(root / "devices/system/cpu/cpufreq/policy0/scaling_max_freq") == "345600"
    assert "no Jetson TX1 or TX2" in absent(Opml19Profile(tmp_path / "nowhere"))


def test_the_profile_spans_the_clocks_of_a_board_without_published_levels(tmp_path: Path) -> None:
    levels = {option.name: option.values for option in Opml19Profile(trees.tx1(tmp_path)).options}
    assert levels["gpu_freq"] == (76800000, 384000000, 691200000, 998400000)


def test_gpu_clock_and_power_limit_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(limit_mw=180_000)
    actuator = NvmlSettings(FakeNvml([gpu]))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with applied([actuator], {"gpu_clock_hz": 900e6, "gpu_power_limit_w": 120.0}):
        assert (gpu.locked_mhz, gpu.limit_mw) == (900, 120_000)
    assert (gpu.locked_mhz, gpu.limit_mw) == (None, 180_000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root only" in absent(actuator)
    refused = NvmlSettings(FakeNvml(may_set=False))
    with pytest.raises(ActuationError, match="Insufficient Permissions"):
        refused.apply({"gpu_clock_hz": 900e6})


def test_gpus_that_differ_offer_what_they_share() -> None:
    gpus = [FakeGpu("GPU-a"), FakeGpu("GPU-b", clocks_mhz=(300, 1410), limits_mw=(150_000, 300_000))]
    clock, limit = NvmlSettings(FakeNvml(gpus)).options
    assert clock.values == (300e6, 1410e6)
    assert limit.bounds == (150.0, 250.0)
    (only_limit,) = NvmlSettings(FakeNvml([FakeGpu(clocks_mhz=())])).options
    assert only_limit.name == "gpu_power_limit_w"


def test_a_power_mode_that_needs_a_reboot_is_an_error(tmp_path: Path) -> None:
    actuator = PowerMode(*fake_nvpmodel(tmp_path))
    with applied([actuator], {"nvpmodel": "30W"}):
        assert actuator.read() == {"nvpmodel": "30W"}
    assert actuator.read() == {"nvpmodel": "15W"}
    with pytest.raises(ActuationError, match="some modes need a reboot"):
        actuator.apply({"nvpmodel": "MAXN_SUPER"})


def test_a_quota_really_limits_this_process() -> None:
    actuator = CpuQuota()
    availability = actuator.availability()
    if isinstance(availability, Absent):
        pytest.skip(availability.reason)
    before = read_text(Path("/proc/self/cgroup"))
    throttled = 0
    # The smallest quota, and half a minute: even on a loaded machine some period leaves us a hundredth of a second.
    with applied([actuator], {"cpu_quota": 0.1}) as back:
        assert back == actuator.read() == {"cpu_quota": 0.1}
        group = Path(actuator.state(["cpu_quota"])["home"])
        begin_s = time.monotonic()
        while not throttled and time.monotonic() < begin_s + 30:
            sum(range(100_000))
            throttled = dict(_words(line) for line in read_text(group / "cpu.stat").splitlines())["nr_throttled"]
    assert throttled
    assert read_text(Path("/proc/self/cgroup")) == before
    assert not group.exists()


def _words(line: str) -> tuple[str, int]:
    name, number = line.split()
    return name, int(number)


def test_a_group_of_version_2_is_made_beside_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount, proc = tmp_path / "cgroup", tmp_path / "proc" / "self"
    trees.write_files(
        tmp_path,
        {
            "proc/self/mountinfo": f"30 23 0:26 / {mount} rw,relatime - cgroup2 cgroup2 rw,nsdelegate",
            "proc/self/cgroup": "0::/user.slice/session.scope",
            "cgroup/user.slice/cgroup.subtree_control": "cpu memory pids",
            "cgroup/user.slice/session.scope/cgroup.procs": "",
        },
    )
    actuator = CpuQuota(tmp_path / "proc")
    availability = actuator.availability()
    assert isinstance(availability, Available)
    assert availability.detail == f"control groups version 2, in {mount}/user.slice"
    state = actuator.state(["cpu_quota"])
    group = Path(state["group"])
    assert group.parent == mount / "user.slice"
    # What the kernel does: a new group has its files, and who is written into it is in it.
    trees.write_files(group, {"cpu.max": "max 100000", "cgroup.procs": ""})
    write = Path.write_text
    write(proc / "cgroup", f"0::/user.slice/{group.name}\n")
    assert actuator.apply({"cpu_quota": 1.5}) == {"cpu_quota": 1.5}
    assert read_text(group / "cpu.max") == "150000 100000"
    assert actuator.read() == {"cpu_quota": 1.5}
    with pytest.raises(ActuationError, match="no group of ours"):
        actuator.restore({"home": state["home"], "group": str(mount / "user.slice" / "session.scope")})


def test_without_control_groups_a_quota_is_absent_with_the_reason(tmp_path: Path) -> None:
    assert "has no control groups" in absent(CpuQuota(tmp_path))
    line = f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw"
    trees.write_files(tmp_path, {"self/cgroup": "0::/", "self/mountinfo": line, "cgroup.subtree_control": "pids"})
    assert "does not pass on the cpu controller" in absent(CpuQuota(tmp_path))


def test_an_allocator_is_loaded_at_the_start_and_read_back_from_the_map(tmp_path: Path) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux shows what is mapped")
    # Any library will do to see that the loader takes it; it stands for an allocator.
    spec = importlib.util.find_spec("psutil._psutil_linux")
    assert spec is not None
    assert spec.origin is not None
    library = Path(shutil.copy(spec.origin, tmp_path / "liballocator.so"))
    actuator = Allocator({"another": library})
    with pytest.raises(ActuationError, match="found system"):
        actuator.apply({"allocator": "another"})
    code = (
        "import sys; from pathlib import Path; from perfport.measure.actuators.allocator import Allocator\n"
        "print(Allocator({'another': Path(sys.argv[1])}).apply({'allocator': 'another'}))"
    )
    variables = actuator.variables({"allocator": "another"})
    environment = os.environ | {name: text for name, text in variables.items() if text is not None}
    done = subprocess.run(
        [sys.executable, "-c", code, str(library)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{'allocator': 'another'}\n", done.stderr
    assert actuator.variables({"allocator": "system"}) == {}


def test_a_child_is_started_with_what_the_loader_reads() -> None:
    assert start_variables({"MALLOC_ARENA_MAX": 2, "cpus": "0", "LD_BIND_NOW": None}) == {
        "MALLOC_ARENA_MAX": "2",
        "LD_BIND_NOW": None,
    }


def test_what_cannot_be_set_is_told_before_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    check_settable({"MY_OWN": ("anything",), "cpus": ("0",)})
    monkeypatch.setattr(CpuQuota, "availability", lambda _: Absent("run as root (sudo)"))
    with pytest.raises(ActuationError, match=r"'cpu_quota' cannot be used here: run as root"):
        check_settable({"cpu_quota": (0.5,)})
    monkeypatch.setattr(CpuQuota, "availability", lambda _: Available())
    with pytest.raises(UsageError, match=r"cpu_quota.*allowed are 0\.1"):
        check_settable({"cpu_quota": (0.5, 1e6)})


def test_the_name_of_an_actuator_stands_for_all_its_options() -> None:
    assert [option.name for option in options_named(["cpus", "OMP_WAIT_POLICY"])] == ["cpus", "OMP_WAIT_POLICY"]
    assert [option.name for option in options_named(["affinity"])] == ["cpus"]
    with pytest.raises(UsageError, match="no actuator sets warp_factor"):
        options_named(["warp_factor"])
