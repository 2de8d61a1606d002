"""Start processes in dependency order, stop them in reverse, and clean up if this process is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.errors import LocalError
from local.processes.process_keeper import Backoff, ProcessKeeper
from local.processes.process_spec import ProcessSpec
from local.processes.watcher_pipe import WatcherPipe
from local.progress import Progress, no_progress


class Supervisor:
    """Starts, restarts and stops a set of processes. A watcher process stops them if this process is killed."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        log_folder: Path,
        *,
        backoff: Backoff | None = None,
        progress: Progress | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Create a supervisor; `start` starts the processes.

        Args:
            specs: the processes; names must be unique.
            log_folder: output goes to `<log_folder>/<name>.log`.
            backoff: delays between restarts.
            progress: called with one line when a process is ready, exits or is slow.
            scratch: temporary folder, deleted after all processes have exited, also after a SIGKILL of this process.
        """
        self._scratch = scratch
        self.watcher_pipe = WatcherPipe()
        self._progress = progress or no_progress
        self._keepers = {
            spec.name: ProcessKeeper(
                spec, log_folder / f"{spec.name}.log", self.watcher_pipe, backoff or Backoff(), self._progress
            )
            for spec in specs
        }

    async def start(self, on_change: Callable[[], None] | None = None) -> None:
        """Start all processes, each when its dependencies are ready. Call `stop` after a failure as well.

        Args:
            on_change: called when a process id changes.

        Raises:
            LocalError: A process exited before it was ready, or was not ready in time.
        """
        await self.watcher_pipe.start()
        if self._scratch:
            self.watcher_pipe.add_folder(self._scratch)
        for keeper in self._keepers.values():
            keeper.on_change = on_change or (lambda: None)
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers.values():
                    group.create_task(self._start(keeper))
        # Not `except*`: before Python 3.11.4 it wraps an exception raised in its block in an ExceptionGroup.
        except BaseExceptionGroup as errors:
            known, others = errors.split(LocalError)
            if known is None or others is not None:
                raise
            raise _first_error(known) from None

    async def _start(self, keeper: ProcessKeeper) -> None:
        for name in keeper.spec.depends_on:
            if name in self._keepers:
                await self._keepers[name].started.wait()
        began = time.monotonic()
        await keeper.start()
        self._progress(f"{keeper.spec.name} is ready ({time.monotonic() - began:.1f} s)")

    async def stop(self) -> None:
        """Stop all processes, dependents before their dependencies; SIGKILL after the grace period."""
        left = dict(self._keepers)
        while left:
            dependencies = {name for keeper in left.values() for name in keeper.spec.depends_on}
            now = [name for name in left if name not in dependencies] or list(left)
            await asyncio.gather(*(left.pop(name).stop() for name in now))
        await self.watcher_pipe.stop()

    def keeper(self, name: str) -> ProcessKeeper:
        """Return the keeper of process `name`.

        Raises:
            LocalError: No process has this name.
        """
        if name not in self._keepers:
            raise LocalError(f"no process {name!r} in this mesh; choose one of {', '.join(self._keepers)}")
        return self._keepers[name]

    def pids(self) -> Mapping[str, int]:
        """Return name -> process id of the running processes."""
        return {name: keeper.pid for name, keeper in self._keepers.items() if keeper.pid is not None}

    def names(self) -> Sequence[str]:
        """Return the names of all processes, in the order of `specs`."""
        return tuple(self._keepers)

    async def wait_ready(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until all of `names` are ready.

        Raises:
            LocalError: A process is not ready after `timeout_s` seconds; the message names it.
        """
        keepers = [self.keeper(name) for name in names]
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(keeper.ready.wait() for keeper in keepers))
        except TimeoutError as error:
            late = ", ".join(keeper.spec.name for keeper in keepers if not keeper.ready.is_set())
            raise LocalError(f"not ready within {timeout_s:.0f} s: {late}") from error


def _first_error(errors: BaseExceptionGroup[LocalError]) -> LocalError:
    found: LocalError | BaseExceptionGroup[LocalError] = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
