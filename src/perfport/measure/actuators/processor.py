"""What can be set of the processors: governor, clock, cores online, simultaneous multithreading.

Source: Documentation/admin-guide/pm/cpufreq.rst, cpu-hotplug.rst and ABI/testing/sysfs-devices-system-cpu
of the Linux kernel. Tested on recorded trees; not run on hardware.
"""

from collections.abc import Sequence
from pathlib import Path

from perfport.measure.actuators.files import FileActuator, FileOption, numbers_in, read_text
from perfport.space.options import Level, Option

__all__ = ["CpuFrequency", "CpuHotplug", "Smt", "agreed"]

_STEP_KHZ = 100_000  # of drivers that list no clocks (intel_pstate, amd-pstate)


class CpuFrequency(FileActuator):
    """Governor and clock of all processors: `governor`, and `cpu_freq_hz`, to which the clock is fixed.

    The clock is fixed as upper and lower bound, which every driver and governor takes.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        root = Path(sysfs) / "devices" / "system" / "cpu" / "cpufreq"
        policies = sorted(root.glob("policy*"), key=lambda path: int(path.name.removeprefix("policy")))
        found = [option for option in (_governor(policies), _clock(policies)) if option is not None]
        missing = f"no {root}/policy*: the kernel sets no clocks (virtual machines leave that to their host)"
        super().__init__("cpufreq", found, missing)


class CpuHotplug(FileActuator):
    """Takes single processors off line: `cpu<N>_online`. The first cannot be, on most machines.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    needs_new_child = True

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        root = Path(sysfs) / "devices" / "system" / "cpu"
        switches = [folder / "online" for folder in root.glob("cpu[0-9]*") if (folder / "online").exists()]
        switches.sort(key=lambda switch: int(switch.parent.name.removeprefix("cpu")))
        options = [_switch(f"{switch.parent.name}_online", switch) for switch in switches]
        super().__init__("hotplug", options, f"no {root}/cpu*/online: no processor can be taken off line here")


class Smt(FileActuator):
    """Simultaneous multithreading of the whole machine: `smt`.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    needs_new_child = True

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        control = Path(sysfs) / "devices" / "system" / "cpu" / "smt" / "control"
        now = read_text(control)
        option = Option(
            name="smt",
            type="boolean",
            default=now != "off",
            owner="actuator",
            description="Whether every core runs two threads or more.",
        )
        able = now in ("on", "off")
        missing = f"{control} is '{now}': the processor has one thread a core" if now else f"no {control}"
        if now == "forceoff":
            missing = f"{control} is 'forceoff': it was switched off until the next boot"
        super().__init__("smt", [FileOption(option, (control,), _on_off, _is_on)] if able else [], missing)


def agreed(texts: Sequence[str]) -> str | None:
    """Return the text if all are the same, None if not."""
    return texts[0] if len(set(texts)) == 1 else None


def _switch(name: str, file: Path) -> FileOption:
    option = Option(name=name, type="boolean", default=read_text(file) != "0", owner="actuator")
    return FileOption(option, (file,), lambda level: ("1" if level else "0",), lambda texts: texts[0] == "1")


def _governor(policies: Sequence[Path]) -> FileOption | None:
    offered = [set(read_text(policy / "scaling_available_governors").split()) for policy in policies]
    # userspace alone sets nothing: it waits for somebody to choose a clock, which `cpu_freq_hz` does.
    common = sorted(set.intersection(*offered) - {"userspace"}) if offered else []
    if not common:
        return None
    files = tuple(policy / "scaling_governor" for policy in policies)
    now = agreed([read_text(file) for file in files])
    option = Option(
        name="governor",
        type="categorical",
        values=tuple(common),
        default=now if now in common else None,
        owner="actuator",
        description="What chooses the processors' clock.",
    )
    return FileOption(option, files, lambda level: [str(level)] * len(files), agreed)


def _clock(policies: Sequence[Path]) -> FileOption | None:
    offered = [set(_clocks_khz(policy)) for policy in policies]
    common = sorted(set.intersection(*offered)) if offered else []
    if not common:
        return None
    files = tuple(policy / f"scaling_{bound}_freq" for policy in policies for bound in ("min", "max"))
    levels = tuple(khz * 1e3 for khz in common)
    option = Option(
        name="cpu_freq_hz",
        type="ordinal",
        values=levels,
        unit="Hz",
        scale="reciprocal",
        default=levels[-1],
        owner="actuator",
        description="Clock of all processors.",
    )

    def level(texts: Sequence[str]) -> Level | None:
        khz = agreed(texts)
        return float(khz) * 1e3 if khz is not None and khz.isdigit() else None

    return FileOption(option, files, lambda hz: [f"{round(float(hz) / 1e3)}"] * len(files), level)


def _clocks_khz(policy: Path) -> list[int]:
    listed = numbers_in(policy / "scaling_available_frequencies")
    bounds = numbers_in(policy / "cpuinfo_min_freq") + numbers_in(policy / "cpuinfo_max_freq")
    if listed or len(bounds) != 2:
        return listed
    low, high = bounds
    return sorted({low, *range(-(-low // _STEP_KHZ) * _STEP_KHZ, high, _STEP_KHZ), high})


def _on_off(level: Level) -> tuple[str]:
    return ("on" if level else "off",)


def _is_on(texts: Sequence[str]) -> Level:
    return texts[0] == "on"
