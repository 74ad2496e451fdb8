"""Options that are files: what the kernel shows under /sys is read, written, read back and put back.

One `FileOption` is a level a person reads, and the files that hold it; `FileActuator` does the rest
for all of them. State is the text of every file, so that what differs between processors (a governor
each, a range of clocks) comes back as it was.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perfport.errors import ActuationError
from perfport.measure.base import Absent, Availability, Available
from perfport.space.options import Level, Option, same_number

__all__ = ["FileActuator", "FileOption", "bracketed", "numbers_in", "read_text", "same_level", "write_text"]


@dataclass(frozen=True, slots=True)
class FileOption:
    """One option and its files.

    Attributes:
        option: What can be set.
        files: What setting it changes; restored to their texts.
        texts: Level -> the text for every file, in the order they are written.
        level: The texts of the files -> the level they mean; None if they mean none.
        moving: Those of the files that move by themselves once they are released; written back, not compared.
    """

    option: Option
    files: tuple[Path, ...]
    texts: Callable[[Level], Sequence[str]]
    level: Callable[[Sequence[str]], Level | None]
    moving: frozenset[Path] = frozenset()

    def read(self) -> Level | None:
        """Return the level it has now; None if a file is gone, or they do not agree on one."""
        texts = [read_text(file) for file in self.files]
        return self.level(texts) if all(texts) else None


class FileActuator:
    """Sets file options of the machine.

    Attributes:
        name: As in files and on the command line.
        file_options: What it can set here.
        missing: Why there is nothing to set; "" if there is.
    """

    scope: Literal["machine"] = "machine"

    def __init__(self, name: str, file_options: Sequence[FileOption], missing: str) -> None:
        self.name = name
        self.file_options = {found.option.name: found for found in file_options}
        self.missing = missing

    @property
    def options(self) -> tuple[Option, ...]:
        """What it can set here."""
        return tuple(found.option for found in self.file_options.values())

    def availability(self) -> Availability:
        """Return what is set now, or what is missing: the files, or the right to write them."""
        if not self.file_options:
            return Absent(self.missing)
        for found in self.file_options.values():
            for file in found.files:
                if not os.access(file, os.W_OK):
                    return Absent(f"{file} cannot be written: {_remedy()}")
        now = ("not fixed" if level is None else str(level) for level in self.read().values())
        return Available(f"now {', '.join(now)}")

    def read(self) -> dict[str, Level | None]:
        """Return the level of each option; None where the machine has none (processors differ)."""
        return {name: found.read() for name, found in self.file_options.items()}

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set levels (None: leave as it is) and return them as read back.

        Raises:
            ActuationError: If an option is not known, a file cannot be written, or the read-back differs.
        """
        unknown = [name for name in levels if name not in self.file_options]
        if unknown:
            known = ", ".join(self.file_options) or f"nothing here ({self.missing})"
            raise ActuationError(
                f"actuator '{self.name}' does not set {', '.join(unknown)}; it sets {known}", options=unknown
            )
        for name, level in levels.items():
            if level is not None:
                found = self.file_options[name]
                self._write(list(zip(found.files, found.texts(level), strict=True)))
        back = {name: self.file_options[name].read() for name in levels}
        wrong = [
            f"{name}: asked {level}, found {back[name]}"
            for name, level in levels.items()
            if level is not None and not same_level(level, back[name])
        ]
        if wrong:
            raise ActuationError(
                f"actuator '{self.name}': the kernel did not take what was asked: {'; '.join(wrong)}",
                asked=dict(levels),
            )
        return dict(levels)

    def state(self, options: Collection[str]) -> Mapping[str, Any]:
        """Return the text of every file behind `options`."""
        files = dict.fromkeys(file for name in options for file in self.file_options[name].files)
        texts = {str(file): read_text(file) for file in files}
        unread = next((file for file, text in texts.items() if not text), None)
        if unread is not None:
            raise ActuationError(f"actuator '{self.name}': {unread} cannot be read, so it could not be restored")
        moving = [str(file) for name in options for file in self.file_options[name].moving]
        return {"files": texts, "moving": moving}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the texts back that are not there already.

        Raises:
            ActuationError: If a file does not take its text.
        """
        texts = {Path(file): str(text) for file, text in state["files"].items()}
        changed = [(file, text) for file, text in texts.items() if read_text(file) != text]
        self._write(changed)
        wrong = [
            f"{file} is '{read_text(file)}', it was '{text}'"
            for file, text in changed
            if str(file) not in state["moving"] and read_text(file) != text
        ]
        if wrong:
            raise ActuationError(f"actuator '{self.name}' cannot restore: {'; '.join(wrong)}")

    def _write(self, texts: Sequence[tuple[Path, str]]) -> None:
        """Write every text; those refused at first once more, when the others are written.

        A lower bound above the old upper bound is refused until the upper bound is raised.
        """
        refused = [(file, text) for file, text in texts if not _took(file, text)]
        for file, text in refused:
            try:
                write_text(file, text)
            except OSError as error:
                raise ActuationError(
                    f"actuator '{self.name}': '{text}' cannot be written to {file} ({error.strerror}): {_remedy()}",
                    file=str(file),
                ) from error


def read_text(path: Path) -> str:
    """Return the text of a file without its line end, of a choice the chosen word; "" if it cannot be read."""
    try:
        return bracketed(path.read_text().strip())
    except OSError:
        return ""


def write_text(path: Path, text: str) -> None:
    """Write a file that exists; the kernel refuses with an OSError."""
    # NOTE: not Path.write_text, which would create a file that is not there; one write call, as sysfs wants.
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)


def bracketed(text: str) -> str:
    """Return the chosen word of a list of choices, another text as it is.

    Example:
        >>> bracketed("always [madvise] never"), bracketed("performance")
        ('madvise', 'performance')
    """
    chosen = [word[1:-1] for word in text.split() if word.startswith("[") and word.endswith("]")]
    return chosen[0] if len(chosen) == 1 else text


def numbers_in(path: Path) -> list[int]:
    """Return the whole numbers in a file, sorted, each once; other words are left out."""
    return sorted({int(word) for word in read_text(path).split() if word.isdigit()})


def same_level(asked: Level, found: Level | None) -> bool:
    """Return whether two levels are the same, numbers up to rounding."""
    if isinstance(asked, int | float) and isinstance(found, int | float):
        return same_number(asked, found)
    return asked == found


def _took(file: Path, text: str) -> bool:
    try:
        write_text(file, text)
    except OSError:
        return False
    return True


def _remedy() -> str:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "the kernel, or a container around this process, does not allow it"
    return "run as root (sudo)"
