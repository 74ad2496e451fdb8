"""The nine options of the OpML 2019 study as a ready profile for the Jetson TX1 and TX2.

Names, levels and units are those of the published tables, so that what is measured with it is the
target of a transfer from them: `core0_status` ... `core3_status`, `core_freq` (kHz), `gpu_status`,
`gpu_freq`, `emc_status`, `emc_freq` (Hz). The first core, the GPU and the memory controller stay on.

Source: M. S. Iqbal, L. Kotthoff, P. Jamshidi, "Transfer Learning for Performance Modeling of Deep
Neural Network Systems", USENIX OpML 2019, and its measuring code. Tested on recorded trees; not run on hardware.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perfport.measure.actuators.devfreq import emc_clock, gpu_clock
from perfport.measure.actuators.files import FileActuator, FileOption, numbers_in, read_text
from perfport.measure.actuators.processor import agreed
from perfport.space.options import Level, Option

__all__ = ["Opml19Profile"]

# Chip -> the processors the study calls core 0 to 3; on the TX2 those of the A57 cluster.
_CORES = {"33": ("cpu0", "cpu1", "cpu2", "cpu3"), "24": ("cpu0", "cpu3", "cpu4", "cpu5")}
_CHIP_FILE = Path("module") / "tegra_fuse" / "parameters" / "tegra_chip_id"
# The levels of the published tables (TX2).
_GPU_HZ = (140_250_000, 497_250_000, 943_500_000, 1_300_500_000)
_EMC_HZ = (1_062_400_000, 1_331_200_000, 1_600_000_000, 1_866_000_000)


class Opml19Profile(FileActuator):
    """Sets the study's nine options.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    needs_new_child = True

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        root = Path(sysfs)
        chip = read_text(root / _CHIP_FILE)
        options: list[FileOption] = []
        if chip in _CORES:
            options = _options(root, _CORES[chip])
            missing = "this Jetson lacks the processor, GPU or memory clocks of the study; run as root for debugfs"
        else:
            missing = f"no Jetson TX1 or TX2: {root / _CHIP_FILE} is {f'chip {chip}' if chip else 'not there'}"
        super().__init__("opml19", options, missing)


def _options(root: Path, cores: Sequence[str]) -> list[FileOption]:
    gpu, emc = gpu_clock(root), emc_clock(root)
    core_freq = _core_clock(root / "devices" / "system" / "cpu" / "cpufreq" / "policy0")
    if gpu is None or emc is None or core_freq is None:
        return []
    switches = [
        _switch(f"core{number}_status", root / "devices" / "system" / "cpu" / cpu / "online")
        for number, cpu in enumerate(cores)
        if number > 0
    ]
    return [
        _always_on("core0_status"),
        *switches,
        core_freq,
        _always_on("gpu_status"),
        _renamed(gpu, "gpu_freq", _GPU_HZ),
        _always_on("emc_status"),
        _renamed(emc, "emc_freq", _EMC_HZ),
    ]


def _always_on(name: str) -> FileOption:
    option = Option(name=name, type="ordinal", values=(1,), owner="actuator", description="Stays on.")
    return FileOption(option, (), lambda _: (), lambda _: 1)


def _switch(name: str, file: Path) -> FileOption:
    option = Option(
        name=name, type="ordinal", values=(0, 1), default=1, owner="actuator", description="Whether the core is online."
    )
    return FileOption(option, (file,), lambda level: (str(int(level)),), lambda texts: int(texts[0] == "1"))


def _core_clock(policy: Path) -> FileOption | None:
    clocks_khz = numbers_in(policy / "scaling_available_frequencies")
    if not clocks_khz:
        return None
    option = Option(
        name="core_freq",
        type="ordinal",
        values=tuple(clocks_khz),
        unit="kHz",
        default=clocks_khz[-1],
        owner="actuator",
        description="Clock of the cores.",
    )

    def level(texts: Sequence[str]) -> Level | None:
        khz = agreed(texts)
        return int(khz) if khz is not None and khz.isdigit() else None

    files = (policy / "scaling_min_freq", policy / "scaling_max_freq")
    return FileOption(option, files, lambda khz: (str(int(khz)), str(int(khz))), level)


def _renamed(found: FileOption, name: str, published_hz: Sequence[int]) -> FileOption:
    """Return the clock under the study's name, at the published levels, or else at four that span the board's."""
    able = [int(clock) for clock in found.option.values or ()]
    n = len(able)
    shared = [clock for clock in published_hz if clock in able]
    levels = shared or [able[index] for index in sorted({0, n // 3, 2 * n // 3, n - 1})]
    option = Option(
        name=name,
        type="ordinal",
        values=tuple(levels),
        unit="Hz",
        default=levels[-1],
        owner="actuator",
        description=found.option.description,
    )

    def level(texts: Sequence[str]) -> Level | None:
        hz = found.level(texts)
        return None if hz is None else int(hz)

    return replace(found, option=option, level=level)
