"""What can be set for one process: environment variables and the processors it may run on.

Both act in the child, before the system is loaded: runtimes read their variables once, when the
library is loaded, and size their thread pools by the processors they may use.
"""

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Literal

from perfport.errors import ActuationError, UsageError
from perfport.measure.base import Absent, Availability, Available
from perfport.space.options import Level, Option

__all__ = ["KNOWN_VARIABLES", "CpuAffinity", "EnvironmentVariables", "cpu_list", "parse_cpu_list"]

_X86_LEVELS = (
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16",
    "AVX512_CORE_FP16", "AVX512_CORE_AMX", "DEFAULT",
)  # fmt: skip


def _known_variables() -> dict[str, Option]:
    n_cpus = os.cpu_count() or 1
    options = [
        Option(
            name="OMP_NUM_THREADS",
            type="integer",
            values=tuple(range(1, n_cpus + 1)),
            default=n_cpus,
            scale="reciprocal",
            owner="actuator",
            description="Threads of OpenMP regions.",
        ),
        Option(
            name="OMP_WAIT_POLICY",
            type="categorical",
            values=("PASSIVE", "ACTIVE"),
            owner="actuator",
            description="Whether idle OpenMP threads sleep or spin.",
        ),
        Option(
            name="MALLOC_ARENA_MAX",
            type="integer",
            values=(1, 2, 4, 8),
            default=8,
            owner="actuator",
            description="Most heaps of the GNU allocator: fewer save memory, more spare threads the lock.",
        ),
    ]
    if platform.machine().lower() in {"x86_64", "amd64"}:
        options += [
            Option(
                name="ONEDNN_MAX_CPU_ISA",
                type="ordinal",
                values=_X86_LEVELS,
                default="DEFAULT",
                owner="actuator",
                description="Highest instruction set oneDNN may use (OpenVINO, PyTorch).",
            ),
            Option(
                name="ATEN_CPU_CAPABILITY",
                type="ordinal",
                values=("default", "avx2", "avx512"),
                default="avx512",
                owner="actuator",
                description="Highest instruction set of PyTorch's own kernels.",
            ),
        ]
    return {option.name: option for option in options}


KNOWN_VARIABLES: Mapping[str, Option] = _known_variables()


class EnvironmentVariables:
    """Sets environment variables of this process.

    Attributes:
        options: One option a variable; one that is not known takes any text.
    """

    name = "environment"
    scope: Literal["process"] = "process"

    def __init__(self, names: Iterable[str] = tuple(KNOWN_VARIABLES)) -> None:
        self.options = tuple(
            KNOWN_VARIABLES.get(name)
            or Option(name=name, type="categorical", values=(os.environ.get(name, ""),), owner="actuator")
            for name in names
        )

    def availability(self) -> Availability:
        """Return that it is there: every platform has environment variables."""
        return Available("set in the child process before the runtime is loaded")

    def read(self) -> dict[str, Level | None]:
        """Return the text of each variable; None where it is not set."""
        return {option.name: _typed(os.environ.get(option.name), option) for option in self.options}

    def variables(self, levels: Mapping[str, Level | None]) -> dict[str, str | None]:
        """Return them: the C library and the loader read theirs before the child could set them."""
        return {name: None if level is None else str(level) for name, level in levels.items()}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set or unset (None) variables and return them as read back."""
        known = {option.name: option for option in self.options}
        _refuse_unknown(levels, known, self.name)
        for name, level in levels.items():
            if level is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = str(level)
        _require_equal(levels, {name: os.environ.get(name) for name in levels}, self.name)
        return dict(levels)


class CpuAffinity:
    """Restricts this process to some processors (`cpus`, as in "0-1" or "0,2")."""

    name = "affinity"
    scope: Literal["process"] = "process"

    def __init__(self) -> None:
        allowed = sorted(_allowed_cpus())
        self.options: tuple[Option, ...] = (
            Option(
                name="cpus",
                type="ordinal",
                values=tuple(cpu_list(allowed[:n]) for n in range(1, len(allowed) + 1)),
                default=cpu_list(allowed),
                owner="actuator",
                description="Processors the process may run on.",
            ),
        )

    def availability(self) -> Availability:
        """Return whether the platform lets a process choose its processors."""
        if not hasattr(os, "sched_setaffinity"):
            return Absent(f"{platform.system()} does not let a process choose its processors (Linux does)")
        return Available(f"processors {cpu_list(_allowed_cpus())}")

    def read(self) -> dict[str, Level | None]:
        """Return the processors this process may run on now."""
        return {"cpus": cpu_list(_allowed_cpus())}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Restrict the process (None: leave as it is) and return the processors as read back.

        Raises:
            ActuationError: If the platform or the kernel refuses.
            UsageError: If the text is no list of processors.
        """
        _refuse_unknown(levels, {"cpus": self.options[0]}, self.name)
        level = levels.get("cpus")
        if level is None:
            return {name: None for name in levels}
        cpus = parse_cpu_list(str(level))
        availability = self.availability()
        if isinstance(availability, Absent):
            raise ActuationError(f"actuator 'affinity': {availability.reason}", levels=dict(levels))
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            raise ActuationError(
                f"actuator 'affinity': cpus={level} was refused ({error.strerror}); "
                f"this machine lets the process use {cpu_list(_allowed_cpus())}",
                levels=dict(levels),
            ) from error
        back: dict[str, Level | None] = {"cpus": cpu_list(_allowed_cpus())}
        _require_equal({"cpus": cpu_list(cpus)}, back, self.name)
        return {"cpus": level}


def cpu_list(cpus: Iterable[int]) -> str:
    """Return processor numbers as the kernel writes them.

    Example:
        >>> cpu_list([0, 1, 2, 5])
        '0-2,5'
    """
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def parse_cpu_list(text: str) -> set[int]:
    """Read what `cpu_list` writes.

    Raises:
        UsageError: If the text is not a list of processor numbers.
    """
    cpus: set[int] = set()
    try:
        for part in text.split(","):
            low, dash, high = part.partition("-")
            cpus.update(range(int(low), int(high if dash else low) + 1))
    except ValueError:
        cpus = set()
    if not cpus:
        raise UsageError(f"cpus '{text}' is no list of processors; write for instance '0', '0-1' or '0,2'")
    return cpus


def _allowed_cpus() -> set[int]:
    return os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))


def _typed(text: str | None, option: Option) -> Level | None:
    """Return the option's own level that is written `text`, so that 2 is read back as 2, not "2"."""
    if text is None:
        return None
    return next((level for level in option.values or () if str(level) == text), text)


def _refuse_unknown(levels: Mapping[str, Level | None], known: Mapping[str, Option], actuator: str) -> None:
    unknown = [name for name in levels if name not in known]
    if unknown:
        raise ActuationError(
            f"actuator '{actuator}' does not set {', '.join(unknown)}; it sets {', '.join(known)}", options=unknown
        )


def _require_equal(asked: Mapping[str, Level | None], back: Mapping[str, Level | None], actuator: str) -> None:
    wrong = [
        f"{name}: asked {level}, found {back[name]}" for name, level in asked.items() if str(back[name]) != str(level)
    ]
    if wrong:
        raise ActuationError(
            f"actuator '{actuator}' did not take what was asked: {'; '.join(wrong)}", asked=dict(asked)
        )
