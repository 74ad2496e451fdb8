"""The journal: on disk before a change, gone after it, and enough for another process to restore from."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests import trees

from perfport.cli.app import run
from perfport.errors import ActuationError, MeasurementError
from perfport.measure.actuators import Journal, applied, restore_abandoned
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.files import read_text
from perfport.measure.actuators.journal import default_state_dir
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.opml19 import Opml19Profile
from perfport.measure.actuators.processor import CpuFrequency
from perfport.measure.base import Available
from perfport.measure.doctor import doctor, restore_machine
from perfport.measure.machine.lease import device_lease
from perfport.space.options import Level
from perfport.testing.fakes import FakeActuator


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def altered(journal: Journal, **fields: object) -> None:
    """Change fields of the only entry."""
    (entry,) = journal.entries()
    entry.path.write_text(json.dumps(json.loads(entry.path.read_text()) | fields))


def test_an_entry_is_on_disk_before_the_change_and_gone_when_it_is_undone(journal: Journal) -> None:
    noted: list[Mapping[str, object]] = []

    class Watched(FakeActuator):
        def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
            noted.extend(dict(entry.state) for entry in journal.entries())
            return super().apply(levels)

    with applied([Watched()], {"clock_hz": 1e9}, journal=journal):
        (entry,) = journal.entries()
        assert (entry.actuator, entry.asked, entry.pid) == ("fake", {"clock_hz": 1e9}, os.getpid())
        assert not entry.is_abandoned
    assert noted[0] == {"levels": {"clock_hz": 2e9}}
    assert journal.entries() == []


def test_what_dies_with_the_process_is_not_noted(journal: Journal) -> None:
    with applied([FakeActuator(scope="process")], {"boost": True}, journal=journal):
        assert journal.entries() == []


def test_what_cannot_be_restored_stays_in_the_journal(journal: Journal) -> None:
    with (
        pytest.raises(ActuationError, match="not everything could be restored"),
        applied([FakeActuator(refuses=(False,))], {"boost": True}, journal=journal),
    ):
        pass
    assert [entry.asked for entry in journal.entries()] == [{"boost": True}]


def test_nothing_is_set_where_the_journal_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    actuator = FakeActuator()
    with (
        pytest.raises(ActuationError, match="so nothing is set"),
        applied([actuator], {"clock_hz": 1e9}, journal=Journal(tmp_path / "file" / "journal")),
    ):
        raise AssertionError("the block must not run")
    assert actuator.log == []


@pytest.mark.parametrize("change", [{"boot_id": "an earlier one"}, {"started": "12"}, {"pid": 2**22 + 1}])
def test_an_entry_is_abandoned_when_its_process_or_its_boot_is_gone(
    journal: Journal, change: Mapping[str, object]
) -> None:
    journal.note("fake", {"boost": True}, {})
    assert journal.abandoned() == []
    altered(journal, **change)
    assert len(journal.abandoned()) == 1


def test_entries_are_undone_latest_first_whoever_made_them(tmp_path: Path, journal: Journal) -> None:
    root = trees.tx2(tmp_path)
    actuator = CpuFrequency(root)
    before = actuator.read()
    for hz in (960e6, 499.2e6):
        journal.note("cpufreq", {"cpu_freq_hz": hz}, actuator.state(["cpu_freq_hz"]))
        actuator.apply({"cpu_freq_hz": hz})
    for entry in journal.entries():
        entry.path.write_text(json.dumps(json.loads(entry.path.read_text()) | {"boot_id": "an earlier one"}))
    assert [done.problem for done in restore_abandoned(journal)] == ["", ""]
    assert CpuFrequency(root).read() == before
    assert restore_abandoned(journal) == ()


def test_an_entry_that_cannot_be_restored_is_told_and_kept(tmp_path: Path, journal: Journal) -> None:
    journal.note("cpufreq", {"governor": "performance"}, {"files": {str(tmp_path / "gone"): "x"}, "moving": []})
    altered(journal, boot_id="an earlier one")
    (done,) = restore_abandoned(journal)
    assert "gone cannot be written" in done.problem or "cannot be written to" in done.problem
    assert len(journal.entries()) == 1


def test_the_doctor_names_what_is_left_and_exits_with_3_while_it_cannot_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERFPORT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PERFPORT_LEASE_FILE", str(tmp_path / "lock"))
    file = tmp_path / "scaling_governor"
    journal = Journal()
    journal.note("cpufreq", {"governor": "performance"}, {"files": {str(file): "schedutil"}, "moving": []})
    altered(journal, boot_id="an earlier one")
    (check,) = doctor(noise_test_s=0, kinds=("journal",)).checks
    assert not check.ok
    assert "not restored: governor" in check.detail
    assert run(["doctor", "--restore"]) == 3
    assert "NOT restored" in capsys.readouterr().out
    file.write_text("performance\n")
    assert run(["doctor", "--restore"]) == 0
    assert "cpufreq (governor): restored to what was found" in capsys.readouterr().out
    assert file.read_text() == "schedutil\n"
    assert run(["doctor", "--restore"]) == 0
    assert "nothing to restore" in capsys.readouterr().out


def test_entries_that_cannot_be_trusted_are_refused(journal: Journal) -> None:
    journal.note("fake", {}, {})
    altered(journal, version=99)
    with pytest.raises(ActuationError, match="newer perfport"):
        journal.entries()
    (path,) = journal.folder.glob("*.json")
    path.write_text("{")
    with pytest.raises(ActuationError, match="put back by hand"):
        journal.entries()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to others")
def test_an_entry_of_another_user_is_refused(journal: Journal) -> None:
    entry = journal.note("fake", {}, {})
    os.chown(entry.path, 12345, 12345)
    with pytest.raises(ActuationError, match="belongs to another user"):
        journal.entries()


def test_nothing_is_restored_while_a_campaign_measures(tmp_path: Path) -> None:
    lease = tmp_path / "lock"
    with (
        device_lease("a campaign", path=lease),
        pytest.raises(MeasurementError, match="another campaign is measuring"),
    ):
        restore_machine(lease=lease)


def test_the_journal_belongs_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFPORT_STATE_DIR", "/somewhere")
    assert default_state_dir() == Path("/somewhere")
    monkeypatch.delenv("PERFPORT_STATE_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state_dir() == Path("/var/lib/perfport")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert default_state_dir() == Path("/home/me/state/perfport")


VICTIM = """
import sys, time
from perfport.measure.actuators import Journal, applied
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.opml19 import Opml19Profile
root, folder, quota = sys.argv[1:]
levels = {"core1_status": 0, "core_freq": 345600, "gpu_freq": 140250000, "emc_freq": 1062400000,
          "transparent_hugepages": "never"}
actuators = [Opml19Profile(root), HugePages(root)]
if quota == "real":
    actuators, levels = [*actuators, CpuQuota()], levels | {"cpu_quota": 0.5}
with applied(actuators, levels, journal=Journal(folder)):
    print("set", flush=True)
    time.sleep(60)
"""


def files_of(root: Path) -> dict[Path, str]:
    return {path: read_text(path) for path in root.rglob("*") if path.is_file()}


def test_after_sigkill_everything_is_put_back_to_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.server(trees.tx2(tmp_path / "sys"))
    before = files_of(root)
    monkeypatch.setenv("PERFPORT_STATE_DIR", str(tmp_path / "state"))
    quota = CpuQuota()
    is_real = isinstance(quota.availability(), Available)
    journal = Journal()
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(root), str(journal.folder), "real" if is_real else "none"],
        stdout=subprocess.PIPE,
    )
    with victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"set\n"
        assert Opml19Profile(root).read()["emc_freq"] == 1062400000
        assert HugePages(root).read() == {"transparent_hugepages": "never"}
        group = Path(quota.state(["cpu_quota"])["group"]).with_name(f"perfport-{victim.pid}") if is_real else None
        assert group is None or group.is_dir()
        assert restore_machine(lease=tmp_path / "lock") == ()  # its owner lives
        victim.send_signal(signal.SIGKILL)
    assert files_of(root) != before
    done = restore_machine(lease=tmp_path / "lock")
    assert [entry.problem for entry in done] == [""] * len(done)
    assert len(done) == 2 + is_real
    assert files_of(root) == before
    assert group is None or not group.exists()
    assert journal.entries() == []
