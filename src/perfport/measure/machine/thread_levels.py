"""Thread counts worth trying on this machine."""

__all__ = ["thread_levels"]


def thread_levels(n: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... below `n`, and `n`.

    Time falls about as 1 / threads, so equal ratios tell more than equal steps.

    Example:
        >>> thread_levels(6)
        (1, 2, 4, 6)
    """
    powers = [2**k for k in range(n.bit_length()) if 2**k < n]
    return (*powers, n)
