"""What machine and process were like at one moment: stored with each measurement, never part of its key."""

import os
import sys
from pathlib import Path

__all__ = ["conditions_now", "process_conditions", "stolen_s"]

_POLICIES = ("SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_FIFO", "SCHED_RR")


def conditions_now(sysfs: Path = Path("/sys")) -> dict[str, object]:
    """Return what can be read about the machine right now; what cannot is left out.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.

    Returns:
        Plain JSON data: `load_1min`, `governor`, `frequency_hz` and `temperature_c` (first processor and zone).
    """
    found: dict[str, object] = {}
    if hasattr(os, "getloadavg"):
        found["load_1min"] = round(os.getloadavg()[0], 2)
    cpufreq = sysfs / "devices/system/cpu/cpu0/cpufreq"
    governor = _text(cpufreq / "scaling_governor")
    if governor:
        found["governor"] = governor
    _add_number(found, "frequency_hz", cpufreq / "scaling_cur_freq", 1e3)  # kHz
    _add_number(found, "temperature_c", sysfs / "class/thermal/thermal_zone0/temp", 1e-3)  # millidegrees
    return found


def process_conditions() -> dict[str, object]:
    """Return how this process is scheduled: `affinity` (processor numbers) and `scheduling` (policy)."""
    if sys.platform != "linux":
        return {}
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    name = next((name for name in _POLICIES if getattr(os, name) == policy), str(policy))
    return {"affinity": sorted(os.sched_getaffinity(0)), "scheduling": name}


def stolen_s(proc: Path = Path("/proc")) -> float | None:
    """Return the time the hypervisor gave to others since boot, in seconds, all processors; None if not told."""
    # cpu  user nice system idle iowait irq softirq steal ..., in clock ticks: man 5 proc_stat
    fields = _text(proc / "stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def _add_number(found: dict[str, object], name: str, path: Path, factor: float) -> None:
    text = _text(path)
    if text.lstrip("-").isdigit():
        found[name] = int(text) * factor


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
