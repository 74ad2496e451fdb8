"""The journal: what was found on this machine before it was changed, on disk before the change.

One file an entry, written whole and synced, removed when what was found is back. An entry whose
owner is gone (killed, or of an earlier boot) is *abandoned*: `perfport doctor --restore` and the
next campaign put back what it says. The journal belongs to the machine, not to a campaign:

    PERFPORT_STATE_DIR, else /var/lib/perfport for root, else $XDG_STATE_HOME/perfport (~/.local/state)
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfport.errors import ActuationError
from perfport.measure.machine.owner import started_at

__all__ = ["Entry", "Journal", "default_state_dir"]

VERSION = 1


def default_state_dir() -> Path:
    """Return the folder where this machine's state is kept."""
    named = os.environ.get("PERFPORT_STATE_DIR")
    if named:
        return Path(named)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/perfport")
    home = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".local" / "state") / "perfport"
    except RuntimeError:
        # A user without a home, as containers give: what such a user can set is gone with the container.
        return Path(tempfile.gettempdir()) / f"perfport-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one actuator found before it changed something.

    Attributes:
        path: The entry's file.
        actuator: Name of the actuator.
        asked: Option -> level that was about to be set.
        state: What the actuator needs to restore; {"levels": ...} if it has no state of its own.
        pid: Process that made the change.
        started: When that process was started, as the kernel counts; tells it from a later one of that number.
        boot_id: The boot it happened in; "" where the kernel names none.
    """

    path: Path
    actuator: str
    asked: Mapping[str, Any]
    state: Mapping[str, Any]
    pid: int
    started: str
    boot_id: str

    @property
    def is_abandoned(self) -> bool:
        """Whether the process that made the change is gone, so that nobody else will restore it."""
        return self.boot_id != _boot_id() or not self.started or started_at(self.pid) != self.started


class Journal:
    """The entries of one machine.

    Attributes:
        folder: Where they are; made when the first one is written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_state_dir() / "journal"

    def note(self, actuator: str, asked: Mapping[str, Any], state: Mapping[str, Any]) -> Entry:
        """Write an entry; it is on disk when this returns.

        Raises:
            ActuationError: If it cannot be written; nothing may be changed then.
        """
        pid = os.getpid()
        content = {
            "version": VERSION,
            "actuator": actuator,
            "asked": dict(asked),
            "state": dict(state),
            "pid": pid,
            "started": started_at(pid),
            "boot_id": _boot_id(),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        # Names sort in the order of the changes, also those of several processes: later ones are undone first.
        path = self.folder / f"{time.time_ns():020d}-{pid}-{actuator}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, json.dumps(content))
        except OSError as error:
            raise ActuationError(
                f"the journal {self.folder} cannot be written ({error.strerror}), so nothing is set: what could not "
                "be restored after a crash is not changed; set PERFPORT_STATE_DIR to a folder that can be written",
                folder=str(self.folder),
            ) from error
        return self._entry(path, content)

    def forget(self, entry: Entry) -> None:
        """Remove an entry: what it found is back."""
        entry.path.unlink(missing_ok=True)
        self._sync_folder()

    def entries(self) -> list[Entry]:
        """Return all entries, the latest first.

        Raises:
            ActuationError: If one cannot be read, or belongs to another user (who could make us write anything).
        """
        found = []
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            try:
                if hasattr(os, "geteuid") and path.stat().st_uid not in (0, os.geteuid()):
                    raise ActuationError(
                        f"journal entry {path} belongs to another user; restore as that user, or remove it",
                        path=str(path),
                    )
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["version"] > VERSION:
                    raise ActuationError(f"journal entry {path} is of a newer perfport; restore with that one")
                found.append(self._entry(path, content))
            except FileNotFoundError:
                continue  # its owner has just restored it
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ActuationError(
                    f"journal entry {path} cannot be read ({error}); put back by hand what it says, then remove it",
                    path=str(path),
                ) from error
        return found

    def abandoned(self) -> list[Entry]:
        """Return the entries whose owner is gone, the latest first."""
        return [entry for entry in self.entries() if entry.is_abandoned]

    @staticmethod
    def _entry(path: Path, content: Mapping[str, Any]) -> Entry:
        names = ("actuator", "asked", "state", "pid", "started", "boot_id")
        return Entry(path, **{name: content[name] for name in names})

    def _write(self, path: Path, text: str) -> None:
        # Written beside and renamed: an entry is there whole or not at all.
        fd, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        self._sync_folder()

    def _sync_folder(self) -> None:
        # The name is on disk only when its folder is.
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
