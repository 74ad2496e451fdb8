"""Trees of files as the kernel shows them, for devices this machine lacks.

Constructed after the kernel's documentation and published listings of the boards, with real names,
units and numbers; not recorded by us on that hardware. Each function writes below `root`, which
stands for /sys (or /proc), and returns it.
"""

from collections.abc import Mapping
from pathlib import Path


def write_files(root: Path, texts: Mapping[str, str | int]) -> Path:
    """Write files below `root`, with the line end the kernel shows; a meter's thread never sees half of one."""
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}")
        fresh.write_text(f"{text}\n")
        fresh.replace(path)
    return root


RAPL_RANGE_UJ = 262_143_328_850


def powercap(root: Path) -> Path:
    """A two-package server: packages, their cores and memory, the platform, the same package by MMIO."""
    zones = {
        "intel-rapl:0": ("package-0", 1_000_000),
        "intel-rapl:0:0": ("core", 9_000_000),
        "intel-rapl:0:1": ("dram", 500_000),
        "intel-rapl:1": ("package-1", 5_000_000),
        "intel-rapl:1:0": ("dram", 700_000),
        "intel-rapl:2": ("psys", 99),
        "intel-rapl-mmio:0": ("package-0", 1_000_000),
    }
    texts: dict[str, str | int] = {"class/powercap/intel-rapl/enabled": 1}
    for zone, (name, energy_uj) in zones.items():
        texts |= {
            f"class/powercap/{zone}/name": name,
            f"class/powercap/{zone}/energy_uj": energy_uj,
            f"class/powercap/{zone}/max_energy_range_uj": RAPL_RANGE_UJ,
        }
    return write_files(root, texts)


def count_energy(root: Path, moved_uj: Mapping[str, int]) -> None:
    """Let counters of `powercap` move on, around their range if they come to it."""
    for zone, moved in moved_uj.items():
        file = f"class/powercap/{zone}/energy_uj"
        write_files(root, {file: (int((root / file).read_text()) + moved) % RAPL_RANGE_UJ})


_TX2_CPU_KHZ = "345600 499200 652800 806400 960000 1113600 1267200 1420800 1574400 1728000 1881600 2035200"
_TX2_GPU_HZ = (
    "114750000 140250000 216750000 318750000 420750000 497250000 624750000 726750000 854250000 943500000 "
    "1032750000 1122000000 1236750000 1300500000"
)


def tx2(root: Path) -> Path:
    """A Jetson TX2 under L4T 28: two clusters, INA3221 by iio, GPU by devfreq, memory controller by BPMP."""
    texts: dict[str, str | int] = {
        "module/tegra_fuse/parameters/tegra_chip_id": 24,
        "bus/i2c/drivers/ina3221x/0-0040/iio:device0/rail_name_0": "VDD_SYS_GPU",
        "bus/i2c/drivers/ina3221x/0-0040/iio:device0/in_power0_input": 1520,
        "bus/i2c/drivers/ina3221x/0-0041/iio:device1/rail_name_0": "VDD_IN",
        "bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input": 7640,
        "bus/i2c/drivers/ina3221x/0-0041/iio:device1/rail_name_1": "VDD_SYS_CPU",
        "bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power1_input": 2290,
        "devices/17000000.gp10b/devfreq/17000000.gp10b/available_frequencies": _TX2_GPU_HZ,
        "devices/17000000.gp10b/devfreq/17000000.gp10b/min_freq": 114750000,
        "devices/17000000.gp10b/devfreq/17000000.gp10b/max_freq": 1300500000,
        "kernel/debug/bpmp/debug/emc/possible_rates": "40800 68000 102000 204000 408000 665600 800000 1062400 1331200 "
        "1600000 1866000 (kHz)",
        "kernel/debug/bpmp/debug/clk/emc/rate": 408000000,
        "kernel/debug/bpmp/debug/clk/emc/state": 1,
        "kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked": 0,
    }
    for cpu in range(6):
        texts[f"devices/system/cpu/cpu{cpu}/online"] = int(cpu not in (1, 2))
    for policy, cpus in (("policy0", "0 3 4 5"), ("policy1", "1 2")):
        texts |= _policy(policy, cpus, _TX2_CPU_KHZ, (345600, 2035200), "schedutil")
    return write_files(root, texts)


def tx1(root: Path) -> Path:
    """A Jetson TX1 under L4T 28: one cluster, rails without names, memory controller as a clock override."""
    texts: dict[str, str | int] = {
        "module/tegra_fuse/parameters/tegra_chip_id": 33,
        "devices/platform/7000c400.i2c/i2c-1/1-0040/iio_device/in_power0_input": 4210,
        "class/devfreq/57000000.gpu/available_frequencies": "76800000 153600000 230400000 307200000 384000000 "
        "460800000 537600000 614400000 691200000 768000000 844800000 921600000 998400000",
        "class/devfreq/57000000.gpu/min_freq": 76800000,
        "class/devfreq/57000000.gpu/max_freq": 998400000,
        "kernel/debug/clock/emc/possible_rates": "40800 68000 102000 204000 408000 665600 800000 1065600 1331200 "
        "1600000 (kHz)",
        "kernel/debug/clock/override.emc/rate": 1600000000,
        "kernel/debug/clock/override.emc/state": 0,
    }
    for cpu in range(4):
        texts[f"devices/system/cpu/cpu{cpu}/online"] = 1
    texts |= _policy("policy0", "0 1 2 3", "102000 204000 518400 1036800 1734000", (102000, 1734000), "interactive")
    return write_files(root, texts)


def orin(root: Path) -> Path:
    """A Jetson AGX Orin under L4T 35: INA3221 by hwmon, one channel not connected, one switched off."""
    chip = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    other = "bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4"
    texts: dict[str, str | int] = {f"{chip}/name": "ina3221", f"{other}/name": "ina3221"}
    for number, (label, millivolts, milliamperes) in enumerate(
        (("VDD_GPU_SOC", 19000, 300), ("VDD_CPU_CV", 19000, 100), ("VIN_SYS_5V0", 5000, 800)), start=1
    ):
        texts |= _channel(chip, number, label, millivolts, milliamperes)
    texts |= _channel(other, 1, "NC", 0, 0) | _channel(other, 2, "VDDQ_VDD2_1V8AO", 5000, 90)
    texts |= _channel(other, 3, "SPARE", 5000, 10) | {f"{other}/in3_enable": 0}
    texts |= {f"{chip}/in7_label": "sum of shunt voltages", f"{chip}/in7_input": 9}
    return write_files(root, texts)


def ina226(root: Path) -> Path:
    """A single-board computer with one INA226 in its supply line."""
    chip = "class/hwmon/hwmon1"
    texts: dict[str, str | int] = {"name": "ina226", "in1_input": 5080, "curr1_input": 640, "power1_input": 3250000}
    return write_files(root, {f"{chip}/{file}": text for file, text in texts.items()})


def laptop_battery(root: Path, *, status: str = "Discharging") -> Path:
    """A laptop: one battery, the charger, and the battery of a mouse."""
    supply = "class/power_supply"
    return write_files(
        root,
        {
            f"{supply}/AC/type": "Mains",
            f"{supply}/BAT0/type": "Battery",
            f"{supply}/BAT0/status": status,
            f"{supply}/BAT0/power_now": 11500000,
            f"{supply}/BAT0/energy_now": 41230000,
            f"{supply}/hidpp_battery_0/type": "Battery",
            f"{supply}/hidpp_battery_0/scope": "Device",
            f"{supply}/hidpp_battery_0/status": "Discharging",
        },
    )


def server(root: Path) -> Path:
    """A server with intel_pstate: no list of clocks, a governor a processor, two threads a core, huge pages."""
    texts: dict[str, str | int] = {
        "devices/system/cpu/smt/control": "on",
        "kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    }
    for cpu in range(4):
        if cpu > 0:
            texts[f"devices/system/cpu/cpu{cpu}/online"] = 1
        texts |= _policy(f"policy{cpu}", str(cpu), "", (800000, 3450000), "powersave")
    return write_files(root, texts)


def _policy(name: str, cpus: str, clocks_khz: str, bounds_khz: tuple[int, int], governor: str) -> dict[str, str | int]:
    folder = f"devices/system/cpu/cpufreq/{name}"
    lowest_khz, highest_khz = bounds_khz
    texts: dict[str, str | int] = {
        f"{folder}/affected_cpus": cpus,
        f"{folder}/cpuinfo_min_freq": lowest_khz,
        f"{folder}/cpuinfo_max_freq": highest_khz,
        f"{folder}/scaling_min_freq": lowest_khz,
        f"{folder}/scaling_max_freq": highest_khz,
        f"{folder}/scaling_governor": governor,
        f"{folder}/scaling_available_governors": f"performance {governor} userspace",
    }
    return texts | ({f"{folder}/scaling_available_frequencies": clocks_khz} if clocks_khz else {})


def _channel(folder: str, number: int, label: str, millivolts: int, milliamperes: int) -> dict[str, str | int]:
    return {
        f"{folder}/in{number}_label": label,
        f"{folder}/in{number}_enable": 1,
        f"{folder}/in{number}_input": millivolts,
        f"{folder}/curr{number}_input": milliamperes,
    }
