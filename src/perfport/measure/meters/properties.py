"""The energy properties that meters share."""

import re

from perfport.data.measurement import Property

__all__ = ["ENERGY", "part_energy"]

ENERGY = Property("energy_j", "J", "minimise", "Energy of one run divided by the number of inputs it serves.")


def part_energy(part: str, described: str = "") -> Property:
    """Return the property for the energy of one part of the machine; its name says which.

    Example:
        >>> part_energy("VDD_SYS_GPU").name
        'vdd_sys_gpu_energy_j'
    """
    name = re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_")
    text = f"Energy of {described or part} per input, whoever uses it, idle power included."
    return Property(f"{name}_energy_j", "J", "minimise", text)
