"""Every error perfport raises on purpose.

A message has three parts: what was given, what is allowed, what to do. The objects involved travel
with the error in `details`, so a program need not parse the text. Errors about arguments are
`ValueError`s as well. The command line prints the message on one line and exits with `exit_code`.
"""

from collections.abc import Mapping

__all__ = [
    "ActuationError",
    "InvalidConfigurationError",
    "LeakError",
    "MeasurementError",
    "MeterUnavailableError",
    "MissingPackageError",
    "ModelFileError",
    "NotEnoughDataError",
    "PerfError",
    "SpaceError",
    "StoreError",
    "StoreUsageError",
    "TableError",
    "UnknownPluginError",
    "UsageError",
]


class PerfError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        details: The objects the message speaks of, by name.
        exit_code: What the command line exits with: 1 failure, 2 usage, 3 environment.
    """

    exit_code = 1

    def __init__(self, message: str, /, **details: object) -> None:
        super().__init__(message)
        self.details: Mapping[str, object] = details

    @property
    def message(self) -> str:
        """The text, without the objects."""
        return str(self.args[0])


class UsageError(PerfError, ValueError):
    """An argument that cannot be used as given."""

    exit_code = 2


class SpaceError(UsageError):
    """A configuration space that contradicts itself or cannot be read."""


class InvalidConfigurationError(UsageError):
    """A configuration the space does not allow."""


class TableError(UsageError):
    """A datacard or CSV file that cannot be read as measurements; names the file and the row."""


class NotEnoughDataError(UsageError):
    """Fewer rows than the request needs."""


class UnknownPluginError(UsageError):
    """A name that no built-in and no installed plug-in has."""


class LeakError(PerfError):
    """A test response that was, or would have been, seen before the test: the comparison is worth nothing."""


class ModelFileError(PerfError, ValueError):
    """A model file that is damaged, was altered, or is of a newer format."""

    exit_code = 2


class MeasurementError(PerfError):
    """A measurement that could not be started at all (a failing configuration is an outcome, not an error)."""


class StoreError(PerfError):
    """A store that cannot be opened, read or written."""


class StoreUsageError(StoreError, UsageError):
    """A path that is no store, or a name or a request that the store has nothing for."""

    exit_code = 2


class ActuationError(PerfError):
    """An actuator that did not take the requested level, or could not be restored."""

    exit_code = 3


class MeterUnavailableError(PerfError):
    """A property that cannot be measured here, with the reason."""

    exit_code = 3


class MissingPackageError(PerfError, ImportError):
    """An optional package that is not installed, with the command that installs it."""

    exit_code = 3
