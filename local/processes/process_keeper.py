"""Keeps one process running: starts it, asks it whether it is ready, starts it again when it ends, stops it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.errors import LocalError, explained
from local.processes.commands import last_words
from local.processes.process_spec import ProcessSpec
from local.processes.startup import Activity, StartupWait
from local.processes.watcher_pipe import Leash
from local.progress import Progress, silent

_PROBE_INTERVAL_S = 0.05
_SAMPLE_INTERVAL_S = 0.5
_REMINDER_S = 20.0
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a process is started again: doubled each time, forgotten once it ran for a while."""

    first_s: float = 0.2
    last_s: float = 5.0
    healthy_s: float = 30.0

    def delay_s(self, ends_in_a_row: int) -> float:
        """Seconds to wait after the process ended for the `ends_in_a_row`-th time (1 or more) without running long."""
        return min(self.last_s, self.first_s * 2.0 ** (min(ends_in_a_row, 30) - 1))


class Keeper:
    """One process and its life.

    Attributes:
        ready: set while the process serves.
        started: set for good once it served for the first time; until then an end of it is a failure to start.
        on_change: called whenever the process id changes.
    """

    def __init__(
        self, spec: ProcessSpec, log: Path, leash: Leash, backoff: Backoff, progress: Progress = silent
    ) -> None:
        """Keep `spec`; its output goes to `log`. `progress` hears of what did not go as it should."""
        self.spec = spec
        self.ready = asyncio.Event()
        self.started = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self._log = log
        self._leash = leash
        self._backoff = backoff
        self._progress = progress
        self._process: asyncio.subprocess.Process | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is down."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process and wait until it serves. Raises LocalError when it ends before, or is stuck."""
        if self._log.exists():
            # The last run's, for whoever asks what happened; older ones are of no use.
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))
        self._wanted.set()
        self._task = asyncio.create_task(self._keep())
        await self._wait_ready()
        if self.spec.after_ready:
            await self.spec.after_ready()
        self.started.set()

    async def restart(self) -> None:
        """Stop the process when it runs, start it, and wait until it serves. Raises LocalError when it does not."""
        await self._pause()
        self._wanted.set()
        await self._wait_ready()

    async def _wait_ready(self) -> None:
        """Wait until the process serves. Raises LocalError when it fails to start or makes no progress."""
        began_s = time.monotonic()
        wait = StartupWait(self.spec.stall_timeout_s, self.spec.ready_timeout_s, began_s)
        remind_at_s = began_s + _REMINDER_S
        ready = asyncio.create_task(self.ready.wait())
        watched = {ready, self._task} if self._task else {ready}
        try:
            while not self.ready.is_set():
                await asyncio.wait(watched, timeout=_SAMPLE_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
                if self._task and self._task.done():
                    # Ended before it was ready.
                    self._task.result()
                now_s = time.monotonic()
                activity = self._activity()
                wait.observe(activity, now_s)
                reason = wait.reason_to_give_up(now_s)
                if reason and not self.ready.is_set():
                    raise LocalError(f"{self.spec.name} {reason}: {self._last_words()}")
                if now_s >= remind_at_s:
                    remind_at_s = now_s + _REMINDER_S
                    self._progress(
                        f"waiting for {self.spec.name}: {now_s - began_s:.0f} s, {activity.cpu_s:.0f} s of CPU used"
                    )
        finally:
            ready.cancel()

    def _activity(self) -> Activity:
        """CPU seconds of the process with its children, and the size of its log."""
        cpu_s = 0.0
        if self.pid is not None:
            with suppress(psutil.Error):
                process = psutil.Process(self.pid)
                for each in (process, *process.children(recursive=True)):
                    with suppress(psutil.Error):
                        times = each.cpu_times()
                        cpu_s += times.user + times.system
        try:
            log_bytes = self._log.stat().st_size
        except OSError:
            log_bytes = 0
        return Activity(cpu_s, log_bytes)

    def kill(self, number: signal.Signals, *, restart: bool) -> None:
        """Send `number` to the process and all it started; with `restart` it comes back as after a crash."""
        if not restart:
            self._wanted.clear()
        self.ready.clear()
        if self.pid is not None:
            _send_group(self.pid, number)

    async def end(self) -> None:
        """Stop the process for good."""
        await self._pause()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        ends_in_a_row = 0
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            how = await self._run_once()
            if not self._wanted.is_set():
                ends_in_a_row = 0
                continue
            if not self.started.is_set():
                raise LocalError(f"{self.spec.name} ended ({how}) before it was ready: {self._last_words()}")
            ends_in_a_row = 1 if time.monotonic() - began > self._backoff.healthy_s else ends_in_a_row + 1
            delay_s = self._backoff.delay_s(ends_in_a_row)
            self._note(f"ended ({how}); starting it again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> str:
        """Run the process to its end; returns how it ended. Raises LocalError when its first start is impossible."""
        try:
            process = await self._spawn()
        except LocalError as error:
            if not self.started.is_set():
                raise
            return str(error)
        probe = asyncio.create_task(self._probe())
        try:
            return _how(await process.wait())
        finally:
            probe.cancel()
            self.ready.clear()
            # What the process left behind must not hold its port against its successor.
            _send_group(process.pid, signal.SIGKILL)
            self._leash.ended(process.pid)
            self.on_change()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with explained(f"cannot start {self.spec.name}"), self._log.open("ab") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env=dict(self.spec.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C at the terminal reaches us alone, and children can be ended together.
                start_new_session=True,
            )
        self._leash.began(process.pid, self.spec.stop_signal)
        self.on_change()
        return process

    async def _probe(self) -> None:
        while not await self.spec.ready():  # noqa: ASYNC110 - the other process cannot set our events
            await asyncio.sleep(_PROBE_INTERVAL_S)
        self.ready.set()

    async def _pause(self) -> None:
        self._wanted.clear()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Only the process itself is asked: it ends what it started in its own order.
        with suppress(ProcessLookupError):
            process.send_signal(self.spec.stop_signal)
        try:
            async with asyncio.timeout(self.spec.stop_grace_s):
                await process.wait()
        except TimeoutError:
            self._note(f"did not end within {self.spec.stop_grace_s:.0f} s; killing it")
            _send_group(process.pid, signal.SIGKILL)
            await process.wait()
        self.ready.clear()

    def _note(self, text: str) -> None:
        self._progress(f"{self.spec.name} {text}")
        with suppress(OSError), self._log.open("a") as log:
            log.write(f"supervisor: {self.spec.name} {text}\n")

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            text = ""
        return f"{last_words(text) or 'no output'} (all of it: {self._log})"


def _send_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
