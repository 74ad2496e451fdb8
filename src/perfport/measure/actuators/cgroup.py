"""Processor time as a quota: what a container with `--cpus 1.5` gets, set by a control group of our own.

The child makes a group, limits it, and moves into it before the system is loaded, so that runtimes
that size their pools by the quota see it. Version 1 puts the group inside our own; version 2, where a
group holds processes or groups but not both, beside it. The group outlives a child that is killed, so
it is in the journal.

Source: Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of the Linux kernel.
"""

import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perfport.errors import ActuationError
from perfport.measure.actuators.files import read_text, write_text
from perfport.measure.base import Absent, Availability, Available
from perfport.space.options import Level, Option

__all__ = ["CpuQuota"]

_PERIOD_US = 100_000  # the kernel's own default
_PREFIX = "perfport-"
_PATIENCE_S = 3.0  # how long the processes of a group may take to end


@dataclass(frozen=True, slots=True)
class _Home:
    """Where this process is.

    Attributes:
        folder: Its control group.
        above: The group in which ours is made.
        is_v2: Version of the interface.
    """

    folder: Path
    above: Path
    is_v2: bool


class CpuQuota:
    """Limits the processor time of the child: `cpu_quota`, in processors' worth.

    Attributes:
        proc: Root of the proc file system; a recorded one in tests.
    """

    name = "cpu_quota"
    scope: Literal["process"] = "process"

    def __init__(self, proc: Path | str = "/proc") -> None:
        self.proc = Path(proc)
        n_cpus = float(os.cpu_count() or 1)
        self.options: tuple[Option, ...] = (
            Option(
                name="cpu_quota",
                type="float",
                lower=0.1,
                upper=n_cpus,
                scale="reciprocal",
                default=n_cpus,
                owner="actuator",
                description="Processors' worth of time the system may use, as a container would leave it.",
            ),
        )

    def availability(self) -> Availability:
        """Return where the group would be made, or why it cannot be."""
        home = self._home()
        if isinstance(home, Absent):
            return home
        if not os.access(home.above, os.W_OK):
            return Absent(f"no group can be made in {home.above}: run as root (sudo), or have the group delegated")
        return Available(f"control groups version {2 if home.is_v2 else 1}, in {home.above}")

    def read(self) -> dict[str, Level | None]:
        """Return the quota of our own group; None if this process is in none of ours."""
        home = self._home()
        if isinstance(home, Absent) or not home.folder.name.startswith(_PREFIX):
            return {"cpu_quota": None}
        quota_us, period_us = self._quota_us(home)
        return {"cpu_quota": quota_us / period_us}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Limit this process (None: leave as it is) and return the quota as read back.

        Raises:
            ActuationError: If the kernel refuses, or what it took differs by more than a microsecond in the period.
        """
        unknown = [name for name in levels if name != "cpu_quota"]
        if unknown:
            raise ActuationError(
                f"actuator 'cpu_quota' does not set {', '.join(unknown)}; it sets cpu_quota", options=unknown
            )
        level = levels.get("cpu_quota")
        if level is None:
            return dict(levels)
        home = self._required_home()
        quota_us = round(float(level) * _PERIOD_US)
        group = home.folder if home.folder.name.startswith(_PREFIX) else self._group(home)
        try:
            group.mkdir(exist_ok=True)
            if home.is_v2:
                write_text(group / "cpu.max", f"{quota_us} {_PERIOD_US}")
            else:
                write_text(group / "cpu.cfs_period_us", str(_PERIOD_US))
                write_text(group / "cpu.cfs_quota_us", str(quota_us))
            write_text(group / "cgroup.procs", str(os.getpid()))
        except OSError as error:
            raise ActuationError(
                f"actuator 'cpu_quota': {error.filename or group} was refused ({error.strerror}); run as root (sudo)",
                levels=dict(levels),
            ) from error
        now = self._required_home()
        if now.folder != group or abs(self._quota_us(now)[0] - quota_us) > 1:
            raise ActuationError(
                f"actuator 'cpu_quota': asked {level}, found {self.read()['cpu_quota']} in {now.folder}",
                asked=dict(levels),
            )
        return dict(levels)

    def state(self, options: Collection[str]) -> Mapping[str, Any]:
        """Return the group this process is in, and the one that would be made."""
        home = self._required_home()
        return {"home": str(home.folder), "group": str(self._group(home))} if options else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Move whoever is in the group back to where this process was, and remove the group.

        Raises:
            ActuationError: If it cannot be removed.
        """
        group, home = Path(state["group"]), Path(state["home"])
        if not group.name.startswith(_PREFIX):
            raise ActuationError(f"actuator 'cpu_quota': {group} is no group of ours; it is left alone")
        deadline = time.monotonic() + _PATIENCE_S
        while group.exists():
            for pid in read_text(group / "cgroup.procs").split():
                with suppress(OSError):  # it has just ended
                    write_text(home / "cgroup.procs", pid)
            try:
                group.rmdir()
            except OSError as error:
                # A process that was killed is counted until the kernel has buried it.
                if time.monotonic() > deadline:
                    raise ActuationError(
                        f"actuator 'cpu_quota': {group} cannot be removed ({error.strerror})", group=str(group)
                    ) from error
                time.sleep(0.01)

    def _home(self) -> _Home | Absent:
        places = read_text(self.proc / "self" / "cgroup").splitlines()
        if not places:
            return Absent(f"no {self.proc}/self/cgroup: this system has no control groups")
        roots = self._roots()
        for line in places:
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(",") and "cpu" in roots:
                folder = roots["cpu"] / path.lstrip("/")
                return _Home(folder, folder, is_v2=False)
        for line in places:
            if line.startswith("0::") and "" in roots:
                folder = roots[""] / line[3:].lstrip("/")
                above = folder if folder == roots[""] else folder.parent
                if "cpu" in read_text(above / "cgroup.subtree_control").split():
                    return _Home(folder, above, is_v2=True)
                return Absent(f"{above}/cgroup.subtree_control does not pass on the cpu controller")
        return Absent("no control group with the cpu controller is mounted")

    def _required_home(self) -> _Home:
        home = self._home()
        if isinstance(home, Absent):
            raise ActuationError(f"actuator 'cpu_quota': {home.reason}")
        return home

    def _roots(self) -> dict[str, Path]:
        """Return where the cpu controller (version 1) and the tree of version 2 ("") are mounted."""
        roots: dict[str, Path] = {}
        for line in read_text(self.proc / "self" / "mountinfo").splitlines():
            # ... mount point (5th) ... - type source options: man 5 proc_pid_mountinfo
            before, _, after = line.partition(" - ")
            kind, options = after.split()[0], after.split()[-1]
            if kind == "cgroup2":
                roots.setdefault("", Path(before.split()[4]))
            elif kind == "cgroup" and "cpu" in options.split(","):
                roots.setdefault("cpu", Path(before.split()[4]))
        return roots

    @staticmethod
    def _group(home: _Home) -> Path:
        return home.above / f"{_PREFIX}{os.getpid()}"

    @staticmethod
    def _quota_us(home: _Home) -> tuple[int, int]:
        if home.is_v2:
            quota, period = read_text(home.folder / "cpu.max").split()
        else:
            quota, period = (read_text(home.folder / f"cpu.cfs_{part}_us") for part in ("quota", "period"))
        # "max" and -1 are no limit.
        return (int(quota), int(period)) if quota.isdigit() else ((os.cpu_count() or 1) * int(period), int(period))
