"""Progress of a measuring run in the terminal, with the time left."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from perfport.measure.campaign import Progress as CampaignProgress

__all__ = ["MeasuringProgress"]


class MeasuringProgress:
    """A progress bar that a measuring run reports to; silent where the console is no terminal.

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
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(description, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: "CampaignProgress") -> None:
        """Show where the run stands."""
        text = f"{self._description} {progress.environment}"
        self._bar.update(self._task, description=text, completed=progress.n_done, total=progress.n_total)
