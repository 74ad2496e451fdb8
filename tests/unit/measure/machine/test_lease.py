"""The device lease."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from perfport.errors import MeasurementError
from perfport.measure.machine.lease import default_lease_path, device_lease

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file locks are POSIX's")

HOLDER = """
import sys, time
from pathlib import Path
from perfport.measure.machine.lease import device_lease
with device_lease("the holder", path=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(3600)
"""


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        device_lease("first", path=path),
        pytest.raises(MeasurementError, match=f"'first', process {os.getpid()}"),
        device_lease("x", path=path),
    ):
        pass
    with device_lease("second", path=path):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MeasurementError, match="'the holder'"), device_lease("x", path=path):
            pass
        holder.kill()
    with device_lease("x", path=path):
        pass


def test_a_patient_holder_waits(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    entered = threading.Event()

    def hold() -> None:
        with device_lease("first", path=path):
            entered.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with device_lease("second", path=path, wait_s=30):
        pass
    thread.join()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be opened"), device_lease("x", path=tmp_path / "no" / "lock"):
        pass


def test_all_campaigns_of_a_machine_share_one_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PERFPORT_LEASE_FILE", raising=False)
    assert default_lease_path() == Path(tempfile.gettempdir()) / "perfport-device.lock"
    monkeypatch.setenv("PERFPORT_LEASE_FILE", str(tmp_path / "shared.lock"))
    assert default_lease_path() == tmp_path / "shared.lock"
