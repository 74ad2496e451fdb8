"""What this machine is: the facts that make an environment, and those that only describe a moment.

Facets go into the fingerprint, so they must be the same at the next boot and differ when results
would: processor, cores, instruction sets, memory, versions. What changes by itself (load, free
memory, present clock) is a condition, see `conditions`.
"""

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from perfport.data.environment import Fact
from perfport.processors import usable_threads

__all__ = ["cpu_quota", "hardware_facts", "package_version", "software_facts"]

# Flags that decide which kernels a runtime picks, strongest last.
_NOTABLE_FLAGS = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "fphp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip


@cache
def hardware_facts(proc: Path = Path("/proc"), sys_root: Path = Path("/sys")) -> Mapping[str, Fact]:
    """Return processor, cores, instruction sets, memory, limits and virtualisation of this machine.

    Args:
        proc: Root of the proc file system; a recorded tree in tests.
        sys_root: Root of the sysfs tree.
    """
    import psutil  # the child, which asks for quotas only, has no need of it

    cpu = _cpu_info(proc)
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    quota = cpu_quota(proc, sys_root)
    board = _text(sys_root / "firmware/devicetree/base/model")
    facts: dict[str, Fact] = {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        "threads": os.cpu_count() or 1,
        "usable_threads": usable_threads(),
        # The kernel keeps a little for itself, and how little changes between versions.
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "instruction_sets": " ".join(flag for flag in _NOTABLE_FLAGS if flag in flags),
        "virtualised": "hypervisor" in flags,
    }
    if quota is not None:
        facts["cpu_quota"] = quota
    if board:
        facts["board"] = board.strip("\0 \n")
    return facts


@cache
def software_facts() -> Mapping[str, Fact]:
    """Return operating system and versions that every system on this machine shares."""
    # The patch level of the kernel moves with security updates and hardly ever moves a latency.
    kernel = ".".join(platform.release().split(".")[:2])
    return {
        "os": platform.system(),
        "kernel": kernel,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, without importing it; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_quota(proc: Path = Path("/proc"), sys_root: Path = Path("/sys")) -> float | None:
    """Return the processors' worth of time the process's control groups leave it, None if they leave all.

    Source: Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cpu.cfs_*) of the kernel.
    """
    quotas: list[float] = []
    for line in _text(proc / "self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = sys_root / "fs/cgroup" / ("cpu" if controllers else "")
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            quotas += _quota_of(folder)
            if folder == root:
                break
    return round(min(quotas), 2) if quotas else None


def _quota_of(folder: Path) -> list[float]:
    texts = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us").strip(),
        _text(folder / "cpu.cfs_period_us").strip(),
    ]
    if len(texts) == 2 and all(text.isdigit() for text in texts) and int(texts[1]) > 0:
        return [int(texts[0]) / int(texts[1])]
    return []


def _cpu_info(proc: Path) -> dict[str, str]:
    """First processor's block of cpuinfo; empty where there is none (macOS, Windows)."""
    block = _text(proc / "cpuinfo").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
