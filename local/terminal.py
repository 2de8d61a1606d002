"""Steps with their elapsed time, on a terminal or in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps:
    """Prints each step as it ends, with the seconds since the beginning; on a terminal the running one counts up."""

    def __init__(self, console: Console, doing: str) -> None:
        """Say on `console` how `doing` goes."""
        self._console = console
        self._began = time.monotonic()
        self._bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task(doing)
        self._doing = doing

    def say(self, line: str) -> None:
        """Print a step; a local.progress.Progress."""
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {line}", highlight=False)
        self._bar.update(self._task, description=line)

    def __enter__(self) -> Self:
        """Begin to count."""
        self._console.print(f"[bold]{self._doing}[/bold]")
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop counting."""
        self._bar.stop()
