"""Clocks of what is no processor: the GPU and the memory controller of NVIDIA Jetson boards.

The GPU is a devfreq device with a lower and an upper bound. The memory controller (EMC) is set in
debugfs: through the boot processor (BPMP) on the TX2 and later, as a clock override on the TX1.

Source: NVIDIA Jetson Linux Developer Guide, "Clock Frequency and Power Management";
Documentation/ABI/testing/sysfs-class-devfreq of the Linux kernel. Tested on recorded trees; not run on hardware.
"""

from collections.abc import Sequence
from pathlib import Path

from perfport.measure.actuators.files import FileActuator, FileOption, numbers_in, read_text
from perfport.measure.actuators.processor import agreed
from perfport.space.options import Level, Option

__all__ = ["JetsonClocks", "emc_clock", "gpu_clock"]

# Device names of the GPUs, by board: TX1 and Nano, TX2, Xavier, Orin; and what newer kernels call all of them.
_GPUS = ("57000000.gpu", "17000000.gp10b", "17000000.gv11b", "17000000.ga10b", "17000000.gpu")
_DEBUG = Path("kernel") / "debug"


class JetsonClocks(FileActuator):
    """Clocks of GPU and memory controller: `gpu_freq_hz` and `emc_freq_hz`, each fixed to one clock.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        root = Path(sysfs)
        found = [option for option in (gpu_clock(root), emc_clock(root)) if option is not None]
        missing = f"no Jetson GPU under {root}/class/devfreq, no memory controller under {root / _DEBUG}"
        super().__init__("devfreq", found, missing)


def gpu_clock(sysfs: Path) -> FileOption | None:
    """Return the clock of a Jetson's GPU, None if there is none."""
    places = [
        folder
        for name in _GPUS
        for folder in (sysfs / "class" / "devfreq" / name, sysfs / "devices" / name / "devfreq" / name)
        if (folder / "available_frequencies").exists()
    ]
    clocks = numbers_in(places[0] / "available_frequencies") if places else []
    if not clocks:
        return None
    files = (places[0] / "min_freq", places[0] / "max_freq")
    return FileOption(_clock_option("gpu_freq_hz", clocks, "Clock of the GPU."), files, _twice, _agreed_hz)


def emc_clock(sysfs: Path) -> FileOption | None:
    """Return the clock of a Jetson's memory controller, None if there is none (or debugfs is closed to us)."""
    debug = sysfs / _DEBUG
    bpmp, tx1 = debug / "bpmp" / "debug" / "clk" / "emc", debug / "clock" / "override.emc"
    listed = (
        bpmp / "possible_rates",
        debug / "bpmp" / "debug" / "emc" / "possible_rates",
        debug / "clock" / "emc" / "possible_rates",
    )
    clocks_hz = next((clocks for clocks in map(_possible_rates_hz, listed) if clocks), [])
    # The rate holds only while it is locked, or overridden, so it is written last.
    places = ((bpmp / "mrq_rate_locked", bpmp / "state", bpmp / "rate"), (tx1 / "state", tx1 / "rate"))
    files: tuple[Path, ...] = next((found for found in places if found[-1].exists()), ())
    if not files or not clocks_hz:
        return None
    option = _clock_option("emc_freq_hz", clocks_hz, "Clock of the memory controller.")
    switches = ["1"] * (len(files) - 1)

    def level(texts: Sequence[str]) -> Level | None:
        return float(texts[-1]) if list(texts[:-1]) == switches and texts[-1].isdigit() else None

    return FileOption(option, files, lambda hz: [*switches, f"{round(float(hz))}"], level, moving=frozenset(files[-1:]))


def _possible_rates_hz(file: Path) -> list[int]:
    # HW: kilohertz with a remark "(kHz)" behind them on the TX1 and TX2.
    clocks = numbers_in(file)
    return [clock * 1000 for clock in clocks] if "kHz" in read_text(file) else clocks


def _clock_option(name: str, clocks_hz: Sequence[int], description: str) -> Option:
    levels = tuple(float(clock) for clock in clocks_hz)
    return Option(
        name=name,
        type="ordinal",
        values=levels,
        unit="Hz",
        scale="reciprocal",
        default=levels[-1],
        owner="actuator",
        description=description,
    )


def _twice(hz: Level) -> tuple[str, str]:
    return f"{round(float(hz))}", f"{round(float(hz))}"


def _agreed_hz(texts: Sequence[str]) -> Level | None:
    text = agreed(texts)
    return float(text) if text is not None and text.isdigit() else None
