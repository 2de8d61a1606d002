"""Print the logs of all processes on one terminal, each line prefixed with the process name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.text import Text

_POLL_S = 0.2
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")


class LogFollower:
    """Prints lines appended to `<folder>/*.log` after its creation."""

    def __init__(self, folder: Path, console: Console) -> None:
        """Start at the current end of each file."""
        self._folder = folder
        self._console = console
        self._read_bytes = {file: file.stat().st_size for file in folder.glob("*.log")}

    async def follow(self) -> None:
        """Print until cancelled."""
        while True:
            for file in sorted(self._folder.glob("*.log")):
                self._print_new(file)
            await asyncio.sleep(_POLL_S)

    def _print_new(self, file: Path) -> None:
        begin = self._read_bytes.get(file, 0)
        with file.open("rb") as log:
            log.seek(begin)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]  # an incomplete line is read again with the next poll
        self._read_bytes[file] = begin + len(whole)
        colour = _COLOURS[sum(file.stem.encode()) % len(_COLOURS)]
        for line in whole.decode(errors="replace").splitlines():
            self._console.print(Text(f"{file.stem:<13} | ", style=colour) + Text(line), soft_wrap=True)
