"""How processes end, in words."""

import signal

__all__ = ["signal_name"]


def signal_name(number: int) -> str:
    """Return the name of a signal; `signal 40` for one that has none here, as most real-time signals.

    Example:
        >>> signal_name(15), signal_name(1000)
        ('SIGTERM', 'signal 1000')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
