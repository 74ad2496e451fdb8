"""Meters: what is read while a configuration runs."""

from collections.abc import Sequence

from perfport import plugins
from perfport.measure.base import Meter

__all__ = ["BUILTIN", "DEFAULT_METERS", "make_meters"]

DEFAULT_METERS = ("energy",)

BUILTIN = {
    "battery": "perfport.measure.meters.battery:BatteryMeter",
    "clock": "perfport.measure.meters.clock:ClockMeter",
    "energy": "perfport.measure.meters.energy:EnergyMeter",
    "hwmon": "perfport.measure.meters.hwmon:HwmonMeter",
    "jetson": "perfport.measure.meters.jetson:JetsonMeter",
    "nvml": "perfport.measure.meters.nvml:NvmlMeter",
    "rapl": "perfport.measure.meters.rapl:RaplMeter",
    "zeus": "perfport.measure.meters.zeus:ZeusMeter",
}


def make_meters(names: Sequence[str]) -> list[Meter]:
    """Return the meters named, in that order.

    Raises:
        UnknownPluginError: If no built-in and no plug-in has a name.
    """
    return [plugins.resolve("meter", name, BUILTIN)() for name in names]
