"""Files that can be made again: where they are kept, and how they are made exactly once.

A file's name holds the hash of everything it is made from, so it never needs to be made anew or thrown away.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from perfport.errors import UsageError

__all__ = ["cache_folder", "digest_of_file", "identity_of", "made_once"]


def cache_folder() -> Path:
    """Return the folder for files that can be made again: `PERFPORT_CACHE_DIR`, else the user's cache folder."""
    if os.environ.get("PERFPORT_CACHE_DIR"):
        return Path(os.environ["PERFPORT_CACHE_DIR"])
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/perfport"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "perfport" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perfport"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cached file `name`, made now if it is not there.

    Args:
        name: File name, with the hash of what it is made from.
        make: Writes the file at the path it is given; only a finished file gets its name.

    Raises:
        UsageError: If the cache folder cannot be written.
    """
    target = cache_folder() / "networks" / name
    if target.is_file():
        return target
    # The ending is kept: writers go by it.
    scratch = target.with_name(f"part{os.getpid()}-{name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        make(scratch)
        scratch.replace(target)
    except OSError as error:
        raise UsageError(
            f"the network cannot be kept in {target.parent} ({error.strerror or error}); "
            "set PERFPORT_CACHE_DIR to a folder that can be written"
        ) from error
    finally:
        with suppress(OSError):
            scratch.unlink()
    return target


@cache
def digest_of_file(path: Path) -> str:
    """Return twelve hex digits over a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def identity_of(*parts: str) -> str:
    """Return twelve hex digits over everything that decides what a made file is."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
