"""Does the machine come back to what it was, at whatever moment the process that set it is killed?

A victim process sets options and restores them, over and over: a control group with a quota and huge pages of this
machine where they can be set, and on constructed trees of a Jetson TX2 and a server the study's nine options,
governor, clocks, cores and multithreading. It is killed (SIGKILL) at a random moment, `perfport doctor --restore` is
called, and every file must read as before. It needs root for the real part; each kill takes about half a second.

    python benchmarks/killed_knobs.py                # 200 kills
    python benchmarks/killed_knobs.py --kills 10
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.files import read_text
from perfport.measure.actuators.journal import Journal
from perfport.measure.actuators.memory import HugePages
from perfport.measure.base import Available
from perfport.measure.doctor import restore_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import trees

VICTIM = """
import sys
from perfport.measure.actuators import Journal, applied
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.opml19 import Opml19Profile
from perfport.measure.actuators.processor import CpuFrequency, CpuHotplug, Smt
board, server, is_real = sys.argv[1], sys.argv[2], sys.argv[3] == "real"
actuators = [Opml19Profile(board), CpuFrequency(server), CpuHotplug(server), Smt(server)]
levels = {"core1_status": 0, "core_freq": 345600, "gpu_freq": 140250000, "emc_freq": 1062400000,
          "governor": "performance", "cpu_freq_hz": 1.2e9, "cpu2_online": False, "smt": False}
if is_real:
    actuators = [HugePages(), CpuQuota(), *actuators]
    levels |= {"transparent_hugepages": "never", "cpu_quota": 1}
journal = Journal()
print("ready", flush=True)
while True:
    with applied(actuators, levels, journal=journal):
        pass
"""


def main() -> int:
    """Kill, restore, compare; print what was found. Returns 1 if anything did not come back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    is_real = all(isinstance(actuator.availability(), Available) for actuator in (HugePages(), CpuQuota()))
    print(f"huge pages and control groups: {'real' if is_real else 'cannot be set here, left out'}")
    rng = np.random.default_rng(arguments.seed)
    left: Counter[int] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PERFPORT_STATE_DIR"] = f"{scratch}/state"
        board, server = trees.tx2(Path(scratch) / "board"), trees.server(Path(scratch) / "server")
        before = _readings(board, server)
        for _ in range(arguments.kills):
            pid = _kill_one(board, server, is_real, delay_s=float(rng.uniform(0, 0.1)))
            left[len(Journal().abandoned())] += 1
            done = restore_machine(lease=Path(scratch) / "lease")
            problems = [entry.problem for entry in done if entry.problem]
            after = _readings(board, server)
            groups = list(Path("/sys/fs/cgroup").glob(f"**/perfport-{pid}"))
            if problems or groups or after != before or Journal().entries():
                wrong += 1
                print(f"not restored: {problems} {groups} {[key for key in before if before[key] != after.get(key)]}")
    told = ", ".join(f"{n} entries after {count} kills" for n, count in sorted(left.items()))
    print(f"{arguments.kills} kills at random moments; left in the journal: {told}")
    print(f"everything as before after doctor --restore: {arguments.kills - wrong} of {arguments.kills}")
    return 1 if wrong else 0


def _kill_one(board: Path, server: Path, is_real: bool, *, delay_s: float) -> int:
    arguments = [sys.executable, "-c", VICTIM, str(board), str(server), "real" if is_real else "none"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as victim:  # noqa: S603  # our own interpreter
        assert victim.stdout is not None  # noqa: S101  # a pipe was asked for
        victim.stdout.readline()
        time.sleep(delay_s)
        victim.kill()
    return victim.pid


def _readings(board: Path, server: Path) -> dict[str, str]:
    """Return what every file reads, the real one included."""
    files = [path for root in (board, server) for path in root.rglob("*") if path.is_file()]
    readings = {str(path): read_text(path) for path in files}
    return readings | {"huge pages": str(HugePages().read())}


if __name__ == "__main__":
    raise SystemExit(main())
