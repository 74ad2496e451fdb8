"""Facts about the machine, its conditions, and the doctor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perfport.errors import MissingPackageError
from perfport.measure import doctor as doctor_module
from perfport.measure.doctor import doctor, noise_self_test
from perfport.measure.machine.conditions import conditions_now, stolen_s
from perfport.measure.machine.probe import hardware_facts, package_version, software_facts
from perfport.measure.networks import zoo
from perfport.processors import usable_threads

CPUINFO = """processor\t: 0
model name\t: Cortex-A78AE
Features\t: fp asimd asimddp fphp crc32
\nprocessor\t: 1
model name\t: Other
"""


def test_facts_are_the_same_in_every_process() -> None:
    code = (
        "import json; from perfport.measure.machine.probe import hardware_facts, software_facts;"
        "print(json.dumps([dict(hardware_facts()), dict(software_facts())]))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == [dict(hardware_facts()), dict(software_facts())]


def test_facts_are_plain_and_count_what_the_process_may_use() -> None:
    facts = hardware_facts()
    assert facts["usable_threads"] == usable_threads() <= int(facts["threads"])
    assert all(isinstance(fact, str | int | float | bool) for fact in facts.values())
    assert "load" not in " ".join(facts)


def test_a_recorded_board_is_described(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(CPUINFO)
    tree = tmp_path / "sys" / "firmware" / "devicetree" / "base"
    tree.mkdir(parents=True)
    (tree / "model").write_bytes(b"NVIDIA Jetson AGX Orin\0")
    facts = hardware_facts(tmp_path / "proc", tmp_path / "sys")
    assert facts["cpu"] == "Cortex-A78AE"
    assert facts["instruction_sets"] == "asimd asimddp fphp"
    assert facts["board"] == "NVIDIA Jetson AGX Orin"
    assert facts["virtualised"] is False


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("4:cpu,cpuacct:/d\n0::/\n", {"cpu/d/cpu.cfs_quota_us": "25000", "cpu/d/cpu.cfs_period_us": "100000"}, 0.25),
        ("4:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("4:memory:/d\n", {"cpu/d/cpu.cfs_quota_us": "25000", "cpu/d/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_limit_of_processor_time_is_a_fact(
    tmp_path: Path, cgroup: str, files: dict[str, str], quota: float | None
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert hardware_facts(tmp_path / "proc", tmp_path / "sys").get("cpu_quota") == quota


def test_conditions_are_read_where_they_can_be(tmp_path: Path) -> None:
    frequency = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    frequency.mkdir(parents=True)
    (frequency / "scaling_governor").write_text("schedutil\n")
    (frequency / "scaling_cur_freq").write_text("1420800\n")
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("45500\n")
    found = conditions_now(tmp_path)
    assert (found["governor"], found["frequency_hz"], found["temperature_c"]) == ("schedutil", 1.4208e9, 45.5)
    nothing = conditions_now(tmp_path / "nowhere")
    assert not {"governor", "frequency_hz", "temperature_c"} & set(nothing)
    json.dumps(found)


def test_stolen_time_is_read_or_unknown(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  10 0 10 1000 5 0 0 250 0 0\n")
    assert stolen_s(tmp_path) == pytest.approx(2.5)
    assert stolen_s(tmp_path / "nowhere") is None


def test_versions_are_found_without_importing() -> None:
    assert package_version("numpy") is not None
    assert package_version("no-such-package") is None


def test_the_doctor_checks_every_part_and_says_why_not() -> None:
    report = doctor(noise_test_s=0)
    kinds = {check.kind for check in report.checks}
    assert kinds == {"system", "network", "meter", "actuator", "journal"}
    assert all(check.detail for check in report.checks)
    assert {check.name: check.ok for check in report.checks}["clock"]
    assert json.loads(json.dumps(report.to_dict()))["noise"] is None


def test_the_doctor_survives_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, form: str) -> None:
        raise MissingPackageError(f"network '{name}' is not installed: pip install it")

    monkeypatch.setattr(doctor_module, "network", missing)
    monkeypatch.setattr(zoo, "find_spec", lambda _: None)
    report = doctor(noise_test_s=0)
    assert not report.can_measure
    details = {check.name: check.detail for check in report.checks if not check.ok}
    assert "pip install --no-deps rapidocr-onnxruntime" in details["ppocr_det"]
    assert "no network is installed" in details["onnxruntime"]


def test_the_noise_test_reports_a_spread_and_a_verdict() -> None:
    found = noise_self_test(0.02)
    assert found.n_runs >= 20
    assert found.wall_spread_pct >= 0
    assert found.verdict


def test_nothing_platform_bound_breaks_the_import() -> None:
    code = (
        "import os, sys\n"
        "for name in ('sched_getaffinity', 'sched_setaffinity', 'sched_getscheduler', 'pidfd_open', 'getloadavg'):\n"
        "    if hasattr(os, name): delattr(os, name)\n"
        "import alembic, numpy, pandas, psutil, pydantic, scipy.stats, sklearn, sqlalchemy, yaml\n"
        "sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "sys.platform = 'win32'\n"
        "import perfport.measure.campaign, perfport.measure.campaign.side_by_side\n"
        "from perfport.measure.actuators.process import CpuAffinity\n"
        "from perfport.measure.runner.child_process import ChildProcess\n"
        "from perfport.measure.machine.conditions import conditions_now\n"
        "conditions_now()\n"
        "print(CpuAffinity().availability())\n"
        "try: ChildProcess()\n"
        "except Exception as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "does not let a process choose its processors" in told
    assert "use WSL" in told
