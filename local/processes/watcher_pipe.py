"""The supervisor's end of the pipe to `local.processes.watcher`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from local.processes import watcher

_WATCHER = str(Path(watcher.__file__).resolve())


class WatcherPipe:
    """Registers process groups and folders that the watcher cleans up after a SIGKILL of this process.

    The kernel closes the pipe however this process ends, and a closed pipe starts the cleanup.
    """

    def __init__(self) -> None:
        """Create a pipe without a watcher; `start` starts it. Until then every registration is ignored."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the watcher in its own session, out of reach of signals to this one."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", _WATCHER, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    def add_group(self, group: int, stop_signal: signal.Signals) -> None:
        """Register a running process group.

        Args:
            group: process group id.
            stop_signal: signal that asks the group to stop.
        """
        self._send(f"+ {group} {int(stop_signal)}")

    def remove_group(self, group: int) -> None:
        """Remove a process group that has exited, because the system may reuse its id."""
        self._send(f"- {group}")

    def add_folder(self, folder: Path) -> None:
        """Register a temporary folder to delete."""
        self._send(f"folder {folder}")

    def _send(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        """Close the pipe and wait until the watcher has cleaned up and exited."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
