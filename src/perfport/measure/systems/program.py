"""A program that is not ours: command line, variables and files made from a configuration; started without a shell."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError, MeasurementError, UsageError
from perfport.measure.base import Configuration
from perfport.measure.machine.endings import signal_name
from perfport.measure.systems.templates import fill, names_in
from perfport.space.options import Level

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["Program", "check_names", "completed", "end", "ending_of", "last_line", "positive_seconds"]

_TAIL_BYTES = 1 << 16
_LINE_CHARS = 200
_RELATIVE_PATH = re.compile(r"(?!-)[\w.+-]+(/[\w.+-]+)+")
# Elsewhere than on Linux a program stays in the group of the child and ends with that: a child that is killed cannot
# end a second group, and what it leaves is found by its mark on Linux only (`strays`).
_HAS_GROUP = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Program:
    """How a program is started; every text is a template (`templates`).

    Attributes:
        command: The program and its arguments; arguments that become empty are left out. `${python}` is the
            interpreter that runs perfport.
        environment: Variables set beside those there are. Numbers and booleans, which YAML makes of `1` and `true`,
            are the texts they were written as.
        files: Name -> content, written into a folder of their own, `${folder}`, before the start; as `environment`.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A text is a sequence, too, of its letters.
        is_list = isinstance(self.command, Sequence) and not isinstance(self.command, str)
        if not is_list or not self.command or not all(isinstance(part, str) for part in self.command):
            raise UsageError(f"command {self.command!r}: give a list of texts, the program first, such as [sh, run.sh]")
        object.__setattr__(self, "command", tuple(self.command))
        object.__setattr__(self, "environment", _texts("environment", self.environment))
        object.__setattr__(self, "files", _texts("files", self.files))
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.name:
                raise UsageError(f"files: '{name}' is no name inside the folder; give a relative name without '..'")

    @property
    def names(self) -> set[str]:
        """What its templates mention."""
        return names_in([list(self.command), dict(self.environment), dict(self.files)])

    def check_is_there(self) -> None:
        """Raise UsageError if the program cannot be found, where its name does not depend on an option."""
        name = self.command[0]
        if not names_in(name) and shutil.which(name) is None:
            raise UsageError(f"program '{name}' is not found; give its path, or put its folder on PATH")

    def start(
        self, values: Mapping[str, Level | None], folder: Path, *, output: IO[bytes], errors: IO[bytes] | int
    ) -> "subprocess.Popen[bytes]":
        """Write the files and start the program, in a process group of its own; `end` ends it.

        Raises:
            UsageError: If a template cannot be filled.
            MeasurementError: If the program cannot be started.
        """
        values = {"python": sys.executable, **values, "folder": str(folder)}
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fill(content, values) or "")
        command = [text for part in self.command if (text := fill(part, values))]
        variables = {name: text for name, part in self.environment.items() if (text := fill(part, values)) is not None}
        try:
            return subprocess.Popen(  # noqa: S603  # the user's own program, its arguments never seen by a shell
                command,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                process_group=0 if _HAS_GROUP else None,
            )
        except OSError as error:
            raise MeasurementError(f"program '{command[0]}' cannot be started: {error.strerror}") from error

    def lacking_path(self) -> str:
        """Return what to say of an argument that names a file which is not there, "" if there is none.

        Only an argument that names a folder as well is taken for a path. It may be one that the program makes, so
        this is said beside a failure only.
        """
        for part in self.command[1:]:
            if _RELATIVE_PATH.fullmatch(part) and not Path(part).exists():
                return f"there is no {part} in {Path.cwd()}, where perfport was started"
        return ""


def positive_seconds(setting: str, given: object) -> float:
    """Return a time that was given as a setting.

    Raises:
        UsageError: If it is no positive number.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise UsageError(f"{setting} is {given!r}; give a positive number of seconds")
    return float(given)


def _texts(setting: str, given: object) -> dict[str, str]:
    """Return names and texts as the setting gives them, numbers and booleans as they were written."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise UsageError(f"{setting} {given!r}: give names with their texts, such as {{NAME: text}}")
    texts = {}
    for name, value in given.items():
        if not isinstance(value, str | bool | int | float):
            raise UsageError(f"{setting}: '{name}' is {value!r}; give a text, a number, true or false")
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program that `Program.start` started, and what it started and has left; it may have ended already.

    Else the workers of a program that timed out would go on beside the next measurements.
    """
    if _HAS_GROUP:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def completed(space: "Space", configuration: Configuration, system: str) -> dict[str, Level | None]:
    """Return `configuration` with the default of every option it leaves out, None for those that are inactive.

    Raises:
        InvalidConfigurationError: If the space has no such option or level.
    """
    import pandas as pd  # only programs need it in the child

    from perfport.space.columns import levels_of_row, positions_of

    unknown = [name for name in configuration if name not in space.names]
    if unknown:
        raise InvalidConfigurationError(
            f"system '{system}' has no option '{unknown[0]}'; it has {', '.join(space.names)}"
        )
    for name, level in configuration.items():
        if level is not None and not space.option(name).contains(level):
            raise InvalidConfigurationError(f"option '{name}': {level!r} is no level; {space.option(name).allowed}")
    levels = {
        option.name: option.default_level if configuration.get(option.name) is None else configuration[option.name]
        for option in space.options
    }
    block = {
        option.name: positions_of(option, pd.Series([levels[option.name]], dtype=object)) for option in space.options
    }
    return levels_of_row(space.options, space.rules.follow_conditions(block), 0)


def check_names(
    used: set[str], options: Sequence[str], workload: Mapping[str, Fact], system: str, *, known: Sequence[str] = ()
) -> None:
    """Raise UsageError if a template mentions what is not there, or an option or fact reaches the program nowhere."""
    there = {*options, *workload, *known}
    unknown = sorted(used - there)
    if unknown:
        raise UsageError(
            f"system '{system}': ${{{unknown[0]}}} is neither option nor workload fact; "
            f"there are {', '.join(sorted(there)) or 'none'}"
        )
    lost = [name for name in (*options, *workload) if name not in used and name not in known]
    if lost:
        raise UsageError(
            f"system '{system}': '{lost[0]}' is used nowhere, so it would change nothing; write ${{{lost[0]}}} where "
            "the program is to read it",
            fact=lost[0],
        )


def ending_of(code: int) -> str:
    """Return how a program ended."""
    return f"ended with exit code {code}" if code >= 0 else f"crashed with {signal_name(-code)}"


def last_line(path: Path) -> str:
    """Return the last line that is not empty of what a program printed, shortened; "" if there is none."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][-_LINE_CHARS:] if lines else ""
