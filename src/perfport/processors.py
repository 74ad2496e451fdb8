"""How many processors there are to work with."""

import os
import sys

__all__ = ["usable_threads"]


def usable_threads() -> int:
    """Return how many processors this process may use: fewer than there are under taskset or in a container."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
