"""Options that every system has that runs a network: how many inputs at once, how many requests at once."""

from collections.abc import Iterable, Sequence

from perfport.errors import InvalidConfigurationError, UsageError
from perfport.measure.base import Configuration
from perfport.measure.machine.thread_levels import thread_levels
from perfport.measure.networks import BATCH, Network
from perfport.space.options import Option

__all__ = ["REQUESTS", "WAVES", "batch_options", "chosen_options", "request_option", "requests_of"]

REQUESTS = "requests"
# Requests per place in one run: with a single one the last to finish would count as much as the throughput.
WAVES = 4


def batch_options(network: Network, batches: Sequence[int]) -> list[Option]:
    """Return the option `batch`, or none for a network whose batch is fixed."""
    if not network.has_batch or not batches:
        return []
    return [Option(name=BATCH, type="integer", values=tuple(batches), description="Inputs that are run at once.")]


def request_option(n_threads: int) -> Option:
    """Return the option `requests`: 1 is MLPerf's single stream, more are its offline scenario."""
    return Option(
        name=REQUESTS,
        type="integer",
        values=(*thread_levels(n_threads), 2 * n_threads),
        default=1,
        description="Requests in flight at the same time: more throughput, and longer latency.",
    )


def requests_of(configuration: Configuration) -> int:
    """Return how many requests are in flight, 1 if the configuration does not say.

    Raises:
        InvalidConfigurationError: If it is no positive whole number.
    """
    level = configuration.get(REQUESTS)
    if level is None:
        return 1
    if not isinstance(level, int) or isinstance(level, bool) or level < 1:
        raise InvalidConfigurationError(f"requests={level!r} is not possible; give a positive whole number")
    return level


def chosen_options(options: Iterable[Option], names: Sequence[str] | None, system: str) -> list[Option]:
    """Return the options whose names were asked for, all if none were; the others stay at their default.

    Raises:
        UsageError: If a name is not that of an option here.
    """
    offered = list(options)
    if names is None:
        return offered
    known = [option.name for option in offered]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"system '{system}', options: there is no '{unknown[0]}' here; there are {', '.join(known)}")
    return [option for option in offered if option.name in names]
