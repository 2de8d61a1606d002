"""Our end of `local.processes.watcher`: tells it what to end should we be killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from local.processes import watcher

_WATCHER = str(Path(watcher.__file__).resolve())


class Leash:
    """The pipe to the watcher. Lines written to it outlast us; closing it in order ends the watcher too."""

    def __init__(self) -> None:
        """Start it with `start`."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the watcher, in a session that no signal to ours reaches."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", _WATCHER, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    def began(self, group: int, stop_signal: signal.Signals) -> None:
        """A process group runs from now on."""
        self._tell(f"+ {group} {int(stop_signal)}")

    def ended(self, group: int) -> None:
        """A process group is gone, and its number may come again for somebody else's."""
        self._tell(f"- {group}")

    def remove(self, folder: Path) -> None:
        """A folder that must not outlive us."""
        self._tell(f"folder {folder}")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        """Let the watcher clean up what is left, and wait for it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
