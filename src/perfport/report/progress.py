"""Progress of a campaign or a study in the terminal, with the time left."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

__all__ = ["MeasuringProgress", "Standing"]


class Standing(Protocol):
    """Where a campaign or a study stands."""

    @property
    def n_done(self) -> int:
        """What is done, in earlier runs too."""
        ...

    @property
    def n_total(self) -> int:
        """All there is to do."""
        ...

    @property
    def environment(self) -> str:
        """What is worked on."""
        ...


class MeasuringProgress:
    """A progress bar that a campaign or a study reports to; silent where the console is no terminal.

    Args:
        console: Where it is drawn.
        description: What is being done; the environment is added to it.
    """

    def __init__(self, console: Console, description: str) -> None:
        self._description = description
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=1,  # drawn in the process beside the one that is measured
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(description, total=None)
        self._has_begun = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Standing) -> None:
        """Show where the run stands."""
        text = f"{self._description} {progress.environment}".rstrip()
        if not self._has_begun:
            # What earlier runs did says nothing about the speed of this one.
            self._bar.reset(self._task, completed=progress.n_done, total=progress.n_total, description=text)
            self._has_begun = True
            return
        self._bar.update(self._task, description=text, completed=progress.n_done, total=progress.n_total)
