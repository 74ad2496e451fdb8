"""Any program that prints JSON: a benchmark of one's own, of a vendor, of another language.

    system: command
    settings:
      command: ["${python}", bench.py, "--threads=${threads}", "${spin?--spin:}"]
      space: {options: [{name: threads, type: integer, values: [1, 2]}, {name: spin, type: boolean}]}
      properties: {inference_time_s: latency_ms}

One run is one start of the program. What it prints last must be one JSON object; numbers are found in it by path.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.errors import MeasurementError
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.scratch import temporary_folder
from perfport.measure.networks.cache import identity_of
from perfport.measure.properties import CPU_TIME, INFERENCE_TIME
from perfport.measure.systems.answers import array_at, described, number_at
from perfport.measure.systems.program import (
    Program,
    check_names,
    completed,
    end,
    ending_of,
    last_line,
    positive_seconds,
)
from perfport.space.options import Level
from perfport.space.schema import read_document

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["CommandSystem"]

_READ_BYTES = 1 << 24  # a program that prints more than this has its answer at the end


class CommandSystem:
    """A program that is started once per run and prints what it measured."""

    name = "command"
    is_isolated = True

    def __init__(
        self,
        command: Sequence[str],
        space: Mapping[str, Any],
        *,
        network: str = "",
        environment: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        maximise: Sequence[str] = (),
        output: str = "",
        timeout_s: float = 50.0,
    ) -> None:
        """Say how the program is started and what it prints.

        Args:
            command: The program and its arguments; texts with places for options and workload facts (`templates`).
            space: The options, as in a space's YAML: options, conditions, forbidden, constraints.
            network: What it runs, for people and for the environment's identity.
            environment: Variables to set, in the same way; a number or boolean is the text it was written as.
            files: Name -> content of files to write into `${folder}` before the start, in the same way.
            properties: Property -> path of its number in the printed object. Without `inference_time_s` the wall time
                of the whole program is taken.
            maximise: Properties of which more is better.
            output: Path of what is compared with the default configuration's; "" for no comparison.
            timeout_s: Longest time for one start.

        Raises:
            UsageError: If a setting makes no sense, or the space is not sound.
        """
        self._program = Program(command, environment or {}, files or {})
        self._settings: dict[str, Any] = {
            "command": list(self._program.command),
            "space": dict(space),
            "network": network,
            "environment": dict(self._program.environment),
            "files": dict(self._program.files),
            "properties": dict(properties if properties is not None else {"inference_time_s": "inference_time_s"}),
            "maximise": list(maximise),
            "output": output,
            "timeout_s": positive_seconds("timeout_s", timeout_s),
        }
        self._document = read_document({"name": self.name, **space})
        self._properties = described(self._settings["properties"], maximise)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the space that was given."""
        from perfport.space.space import Space

        return Space(**{name: value for name, value in self._document if name != "version"})

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return what tells this program from another: its name, and a hash of how it is started and read."""
        told = {name: value for name, value in self._settings.items() if name not in ("timeout_s", "space")}
        name = self._settings["network"] or Path(self._program.command[0]).name
        return {
            "network": {"name": name},
            "software": {"runtime": self.name, "program": identity_of(json.dumps(told, sort_keys=True))},
        }

    def properties(self) -> tuple[Property, ...]:
        """Return what is read from the answer, and the clock's properties."""
        own = {found.name for found in self._properties}
        return (*self._properties, *(found for found in (INFERENCE_TIME, CPU_TIME) if found.name not in own))

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError if a fact or option reaches the program nowhere, or the program is not there."""
        check_names(self._program.names, self.space().names, workload, self.name, known=("folder", "python"))
        self._program.check_is_there()

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Make ready to start the program; `seed` has no effect: what is random is the program's affair."""
        levels = completed(self.space(), configuration, self.name)
        self.check_workload(workload)
        with temporary_folder() as folder:
            yield _OpenSession(self._program, {**workload, **levels}, Path(folder), self._settings)


class _OpenSession:
    """A program that is ready to be started."""

    inputs_per_run = 1

    def __init__(
        self, program: Program, values: Mapping[str, Level | None], folder: Path, settings: Mapping[str, Any]
    ) -> None:
        self._program = program
        self._values = values
        self._folder = folder
        self._settings = settings
        self._answer: Any = None
        self._cpu_s: float | None = None

    def run_once(self) -> None:
        cpu_before_s = _children_cpu_s()
        printed, errors = self._folder / ".stdout", self._folder / ".stderr"
        with printed.open("wb") as output, errors.open("wb") as error_output:
            process = self._program.start(self._values, self._folder, output=output, errors=error_output)
            try:
                code = process.wait(self._settings["timeout_s"])
            except TimeoutExpired:
                raise MeasurementError(f"the program took longer than {self._settings['timeout_s']:g} s") from None
            finally:
                end(process)
        if code != 0:
            told = last_line(errors) or last_line(printed)
            lacking = self._program.lacking_path()
            because = f" ({lacking})" if lacking else ""
            raise MeasurementError(f"the program {ending_of(code)}{because}" + (f": {told}" if told else ""))
        cpu_after_s = _children_cpu_s()
        self._cpu_s = None if cpu_before_s is None or cpu_after_s is None else cpu_after_s - cpu_before_s
        self._answer = _answer(printed)

    def added_readings(self) -> dict[str, float | None]:
        paths: Mapping[str, str] = self._settings["properties"]
        readings: dict[str, float | None] = {CPU_TIME.name: self._cpu_s}
        return readings | {name: number_at(self._answer, path, name) for name, path in paths.items()}

    def output(self) -> list[NDArray[Any]]:
        path = self._settings["output"]
        return [array_at(self._answer, path)] if path else []


def _answer(printed: Path) -> Any:
    """Return the JSON object that is all a program printed, or its last line."""
    with printed.open("rb") as file:
        file.seek(max(0, printed.stat().st_size - _READ_BYTES))
        text = file.read().decode(errors="replace").strip()
    for candidate in (text, text.splitlines()[-1] if text else ""):
        try:
            answer = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    told = f"its last line is '{last_line(printed)}'" if text else "it printed nothing"
    raise MeasurementError(f"the program printed no JSON object; {told}")


def _children_cpu_s() -> float | None:
    """Processor time of every program that was started here and has ended."""
    if sys.platform == "win32":
        return None
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
