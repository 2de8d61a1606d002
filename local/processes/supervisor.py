"""Start processes in dependency order, stop them in reverse, and clean up if this process is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.errors import LocalError
from local.processes.process_keeper import Backoff, Keeper
from local.processes.process_spec import ProcessSpec
from local.processes.watcher_pipe import Leash
from local.progress import Progress, silent


class Supervisor:
    """Owns processes. One watcher ends them all should this process be killed."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        log_folder: Path,
        *,
        backoff: Backoff | None = None,
        progress: Progress | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Supervise `specs`; each writes to `<log_folder>/<name>.log`. `progress` hears of each that is ready.

        `scratch` is a folder of temporary files that is removed when all have ended, however that comes about.
        """
        self._scratch = scratch
        self.leash = Leash()
        self._progress = progress or silent
        self._keepers = {
            spec.name: Keeper(spec, log_folder / f"{spec.name}.log", self.leash, backoff or Backoff(), self._progress)
            for spec in specs
        }

    async def start(self, on_change: Callable[[], None] | None = None) -> None:
        """Start all, each as soon as what it needs is ready; after a failure `stop` cleans up.

        `on_change` is called whenever the process id of one of them changes.

        Raises:
            LocalError: One of them ended before it was ready, or was not ready in time.
        """
        await self.leash.start()
        if self._scratch:
            self.leash.remove(self._scratch)
        for keeper in self._keepers.values():
            keeper.on_change = on_change or (lambda: None)
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers.values():
                    group.create_task(self._start(keeper))
        # Not `except*`: until Python 3.11.4 an exception raised in its block arrives wrapped in an ExceptionGroup.
        except BaseExceptionGroup as errors:
            ours, others = errors.split(LocalError)
            if ours is None or others is not None:
                raise
            raise _first(ours) from None

    async def _start(self, keeper: Keeper) -> None:
        for need in keeper.spec.needs:
            if need in self._keepers:
                await self._keepers[need].started.wait()
        began = time.monotonic()
        await keeper.start()
        self._progress(f"{keeper.spec.name} is ready ({time.monotonic() - began:.1f} s)")

    async def stop(self) -> None:
        """Ask all to end, those that others need after those others; kill what does not end in its grace."""
        left = dict(self._keepers)
        while left:
            needed = {need for keeper in left.values() for need in keeper.spec.needs}
            now = [name for name in left if name not in needed] or list(left)
            await asyncio.gather(*(left.pop(name).end() for name in now))
        await self.leash.stop()

    def keeper(self, name: str) -> Keeper:
        """The keeper of process `name`. Raises LocalError naming those there are."""
        if name not in self._keepers:
            raise LocalError(f"no process {name!r} in this mesh; there are {', '.join(self._keepers)}")
        return self._keepers[name]

    def pids(self) -> Mapping[str, int]:
        """Process ids of those that run now."""
        return {name: keeper.pid for name, keeper in self._keepers.items() if keeper.pid is not None}

    def names(self) -> Sequence[str]:
        """All processes, in the order given."""
        return tuple(self._keepers)

    async def wait_ready(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until all of `names` are ready. Raises LocalError naming those that are not in time."""
        keepers = [self.keeper(name) for name in names]
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(keeper.ready.wait() for keeper in keepers))
        except TimeoutError as error:
            late = ", ".join(keeper.spec.name for keeper in keepers if not keeper.ready.is_set())
            raise LocalError(f"not ready within {timeout_s:.0f} s: {late}") from error


def _first(errors: BaseExceptionGroup[LocalError]) -> LocalError:
    found: LocalError | BaseExceptionGroup[LocalError] = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
