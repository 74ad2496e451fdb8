"""Meters: what is read while a configuration runs."""

from collections.abc import Sequence

from perfport import plugins
from perfport.measure.base import Meter

__all__ = ["BUILTIN", "make_meters"]

BUILTIN = {
    "clock": "perfport.measure.meters.clock:ClockMeter",
    "energy": "perfport.measure.meters.energy:EnergyMeter",
    "rapl": "perfport.measure.meters.rapl:RaplMeter",
}


def make_meters(names: Sequence[str]) -> list[Meter]:
    """Return the meters named, in that order.

    Raises:
        UnknownPluginError: If no built-in and no plug-in has a name.
    """
    return [plugins.resolve("meter", name, BUILTIN)() for name in names]
