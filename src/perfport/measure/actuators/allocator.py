"""Which memory allocator the child uses: the C library's, or another loaded before it.

The dynamic loader looks at LD_PRELOAD when the process starts, so the child is started with it, and
reading back looks at what is mapped into the process, not at the variable.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from perfport.errors import ActuationError
from perfport.measure.base import Absent, Availability, Available
from perfport.space.options import Level, Option

__all__ = ["Allocator", "installed_allocators"]

SYSTEM = "system"
_PATTERNS = {
    "jemalloc": "libjemalloc.so*",
    "mimalloc": "libmimalloc.so*",
    "tcmalloc": "libtcmalloc_minimal.so*",
}
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/opt/homebrew/lib")


def installed_allocators() -> dict[str, Path]:
    """Return the allocators installed in the usual places: name -> library."""
    found: dict[str, Path] = {}
    for name, pattern in _PATTERNS.items():
        for folder in map(Path, _FOLDERS):
            libraries = sorted([*folder.glob(pattern), *folder.glob(f"*-linux-gnu*/{pattern}")])
            if libraries:
                found.setdefault(name, libraries[0].resolve())
    return found


class Allocator:
    """Loads an allocator into the child: `allocator`.

    Attributes:
        libraries: Allocator -> its library.
    """

    name = "allocator"
    scope: Literal["process"] = "process"

    def __init__(self, libraries: Mapping[str, Path] | None = None) -> None:
        self.libraries = dict(installed_allocators() if libraries is None else libraries)
        self.options: tuple[Option, ...] = (
            Option(
                name="allocator",
                type="categorical",
                values=(SYSTEM, *self.libraries),
                default=SYSTEM,
                owner="actuator",
                description="The library that hands out memory.",
            ),
        )

    def availability(self) -> Availability:
        """Return the allocators there are besides the C library's."""
        if not Path("/proc/self/maps").exists():
            return Absent("no /proc/self/maps: what is loaded cannot be read back (Linux has it)")
        if not self.libraries:
            return Absent(
                f"none of {', '.join(_PATTERNS)} is installed; for instance: apt install libjemalloc2 libmimalloc2.0"
            )
        return Available(", ".join(f"{name} ({path.name})" for name, path in self.libraries.items()))

    def variables(self, levels: Mapping[str, Level | None]) -> dict[str, str | None]:
        """Return LD_PRELOAD with the library first; nothing for the system's own."""
        level = levels.get("allocator")
        if level not in self.libraries:
            return {}
        before = os.environ.get("LD_PRELOAD", "")
        return {"LD_PRELOAD": f"{self.libraries[str(level)]}{f':{before}' if before else ''}"}

    def read(self) -> dict[str, Level | None]:
        """Return the allocator that is mapped into this process."""
        try:
            mapped = {line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        except OSError:
            return {"allocator": None}
        loaded = [name for name, path in self.libraries.items() if str(path) in mapped]
        return {"allocator": loaded[0] if loaded else SYSTEM}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Check that this process was started with what is asked; nothing can be changed any more.

        Raises:
            ActuationError: If it was not.
        """
        unknown = [name for name in levels if name != "allocator"]
        if unknown:
            raise ActuationError(
                f"actuator 'allocator' does not set {', '.join(unknown)}; it sets allocator", options=unknown
            )
        found = self.read()["allocator"]
        asked = levels.get("allocator")
        if asked is not None and asked != found:
            raise ActuationError(
                f"actuator 'allocator': asked {asked}, found {found}: the loader did not take LD_PRELOAD",
                asked=dict(levels),
            )
        return dict(levels)
