"""Steps with their elapsed time, on a terminal or in a log."""

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


class Steps:
    """Prints each step as it is told, with the seconds since the beginning.

    On a terminal a line below counts on; in a log a long step is named again every 20 seconds.
    """

    def __init__(self, console: Console, doing: str) -> None:
        """Say on `console` how `doing` goes."""
        self._console = console
        self._doing = self._last = doing
        self._began = time.monotonic()
        self._bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task(doing)
        self._over = threading.Event()
        self._told = threading.Event()
        self._reminder = threading.Thread(target=self._remind, daemon=True)

    def say(self, line: str) -> None:
        """Print a step; a local.progress.Progress."""
        self._last = line
        self._told.set()
        self._print(line)
        self._bar.update(self._task, description=escape(line))

    def _print(self, line: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {escape(line)}", highlight=False)

    def _remind(self) -> None:
        while not self._over.wait(_REMINDER_S):
            if not self._told.is_set():
                self._print(f"... still: {self._last}")
            self._told.clear()

    def __enter__(self) -> Self:
        """Begin to count."""
        self._console.print(f"[bold]{escape(self._doing)}[/bold]")
        (self._bar if self._console.is_terminal else self._reminder).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop counting."""
        self._over.set()
        self._bar.stop()
