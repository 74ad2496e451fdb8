"""Power modes of NVIDIA Jetson boards: named budgets of cores and clocks, set by NVIDIA's `nvpmodel`.

Some changes of mode need a reboot, which nvpmodel asks about; it is answered no, and the mode then
reads back as the old one, which is an error.

Source: NVIDIA Jetson Linux Developer Guide, "Supported Modes and Power Efficiency". Tested with a
constructed program; not run on hardware.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from perfport.errors import ActuationError
from perfport.measure.base import Absent, Availability, Available
from perfport.space.options import Level, Option

__all__ = ["PowerMode"]

_MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_NOW = re.compile(r"NV Power Mode:\s*(\S+)")
_TIMEOUT_S = 30.0


class PowerMode:
    """Sets the power mode: `nvpmodel`, by its name.

    Attributes:
        needs_new_child: True: modes differ in the cores that are online.
        options: One, if there are modes.
    """

    name = "nvpmodel"
    scope: Literal["machine"] = "machine"
    needs_new_child = True

    def __init__(self, config: Path | str = "/etc/nvpmodel.conf", program: str = "nvpmodel") -> None:
        self._config = Path(config)
        self._program = shutil.which(program)
        try:
            self._ids = {name: number for number, name in _MODE.findall(self._config.read_text(errors="replace"))}
        except OSError:
            self._ids = {}
        option = Option(
            name="nvpmodel",
            type="categorical",
            values=tuple(self._ids) or ("none",),
            owner="actuator",
            description="Power mode of the board.",
        )
        self.options: tuple[Option, ...] = (option,) if self._ids and self._program else ()

    def availability(self) -> Availability:
        """Return the present mode, or why there is none."""
        if self._program is None:
            return Absent("no program nvpmodel: this is no Jetson board, or its tools are not installed")
        if not self._ids:
            return Absent(f"{self._config} lists no power modes")
        try:
            return Available(f"mode {self.read()['nvpmodel']} of {', '.join(self._ids)}")
        except ActuationError as error:
            return Absent(error.message)

    def read(self) -> dict[str, Level | None]:
        """Return the present mode.

        Raises:
            ActuationError: If nvpmodel does not tell it.
        """
        if not self.options:
            return {}
        found = _NOW.search(self._run("-q"))
        if found is None:
            raise ActuationError("actuator 'nvpmodel': nvpmodel -q names no mode; run as root (sudo)")
        return {"nvpmodel": found.group(1)}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set the mode (None: leave it) and return it as read back.

        Raises:
            ActuationError: If nvpmodel refuses, or the mode needs a reboot.
        """
        unknown = [name for name in levels if name not in {option.name for option in self.options}]
        if unknown:
            raise ActuationError(f"actuator 'nvpmodel' does not set {', '.join(unknown)}", options=unknown)
        level = levels.get("nvpmodel")
        if level is None or self.read()["nvpmodel"] == level:
            return dict(levels)
        if str(level) not in self._ids:
            raise ActuationError(f"actuator 'nvpmodel' has no mode '{level}'; it has {', '.join(self._ids)}")
        self._run("-m", self._ids[str(level)])
        found = self.read()["nvpmodel"]
        if found != level:
            raise ActuationError(
                f"actuator 'nvpmodel': asked {level}, found {found}; some modes need a reboot: set it by hand",
                asked=dict(levels),
            )
        return dict(levels)

    def _run(self, *arguments: str) -> str:
        assert self._program is not None  # noqa: S101  # there are options only if there is a program
        try:
            done = subprocess.run(  # noqa: S603  # a program found on the path, our own arguments
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            last = said.strip().splitlines()[-1] if said.strip() else type(error).__name__
            raise ActuationError(f"actuator 'nvpmodel': nvpmodel {' '.join(arguments)} failed: {last}") from error
        return done.stdout
