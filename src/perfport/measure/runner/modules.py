"""Modules that lie beside a campaign's file: systems and networks of one's own, without an installed package."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["modules_beside"]


@contextmanager
def modules_beside(folder: str) -> Iterator[None]:
    """Let what is imported meanwhile come from `folder`, where it is found nowhere else.

    Only meanwhile, and last: a file in the folder must not stand for a package that others import, or try to.

    Args:
        folder: Absolute path; "" for none.
    """
    if not folder or folder in sys.path:
        yield
        return
    sys.path.append(folder)
    importlib.invalidate_caches()  # a file may be younger than the last look into the folder
    try:
        yield
    finally:
        # Ours is the last one: the module may have put its folder in front itself.
        places = [place for place, entry in enumerate(sys.path) if entry == folder]
        for place in places[-1:]:
            del sys.path[place]
