"""Print progress with elapsed time, to a terminal or a log."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

_REMINDER_S = 20.0


class ProgressPrinter:
    """Prints each reported line with the seconds since the start.

    A terminal also shows a running clock; a log repeats the current step every 20 seconds.
    """

    def __init__(self, console: Console, title: str) -> None:
        """Print to `console`.

        Args:
            console: the terminal or log.
            title: first line, the name of the whole task.
        """
        self._console = console
        self._title = self._last = title
        self._began = time.monotonic()
        self._bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task(title)
        self._finished = threading.Event()
        self._reported = threading.Event()
        self._reminder = threading.Thread(target=self._remind, daemon=True)

    def report(self, line: str) -> None:
        """Print one step; usable as `local.progress.Progress`."""
        self._last = line
        self._reported.set()
        self._print(line)
        self._bar.update(self._task, description=escape(line))

    def _print(self, line: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {escape(line)}", highlight=False)

    def _remind(self) -> None:
        while not self._finished.wait(_REMINDER_S):
            if not self._reported.is_set():
                self._print(f"still working on: {self._last}")
            self._reported.clear()

    def __enter__(self) -> Self:
        """Print the title and start the clock."""
        self._console.print(f"[bold]{escape(self._title)}[/bold]")
        (self._bar if self._console.is_terminal else self._reminder).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock."""
        self._finished.set()
        self._bar.stop()
