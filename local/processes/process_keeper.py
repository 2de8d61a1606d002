"""Keep one process running: start it, wait until it serves, restart it when it exits, stop it."""

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

from local.errors import LocalError, translate_os_errors
from local.processes.commands import last_lines
from local.processes.process_spec import ProcessSpec
from local.processes.startup import Activity, StartupTimeout
from local.processes.watcher_pipe import WatcherPipe
from local.progress import Progress, no_progress

_PROBE_INTERVAL_S = 0.05
_SAMPLE_INTERVAL_S = 0.5
_REMINDER_S = 20.0
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delay before a restart.

    Attributes:
        initial_s: delay after the first exit.
        max_s: upper bound of the delay.
        reset_after_s: a process that ran longer than this starts again at `initial_s`.
    """

    initial_s: float = 0.2
    max_s: float = 5.0
    reset_after_s: float = 30.0

    def delay_s(self, consecutive_exits: int) -> float:
        """Return the seconds to wait before the next start.

        Args:
            consecutive_exits: exits in a row, this one included (1 or more).
        """
        return min(self.max_s, self.initial_s * 2.0 ** (min(consecutive_exits, 30) - 1))


class ProcessKeeper:
    """One supervised process.

    Attributes:
        ready: set while the process serves.
        started: set for good when the process serves for the first time. An exit before that is a failed start; an
            exit after it causes a restart.
        on_change: called when the process id changes.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        log: Path,
        watcher_pipe: WatcherPipe,
        backoff: Backoff,
        progress: Progress = no_progress,
    ) -> None:
        """Create a keeper; `start` starts the process.

        Args:
            spec: the process to run.
            log: file that receives its output.
            watcher_pipe: registers the process group for cleanup after a SIGKILL of this process.
            backoff: delays between restarts.
            progress: called for restarts, forced kills and slow starts.
        """
        self.spec = spec
        self.ready = asyncio.Event()
        self.started = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self._log = log
        self._watcher_pipe = watcher_pipe
        self._backoff = backoff
        self._progress = progress
        self._process: asyncio.subprocess.Process | None = None
        self._should_run = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while the process is down."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            LocalError: The process exited before it served, made no progress, or took too long; or `before_start`
                failed.
        """
        if self._log.exists():
            # Keep the log of the previous run for diagnosis; older logs are replaced.
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))
        if self.spec.before_start:
            await self.spec.before_start()
        self._should_run.set()
        self._task = asyncio.create_task(self._run())
        await self._wait_ready()
        if self.spec.after_ready:
            await self.spec.after_ready()
        self.started.set()

    async def restart(self) -> None:
        """Stop the process if it runs, start it, and wait until it serves.

        Raises:
            LocalError: The process made no progress or took too long.
        """
        await self._stop_process()
        self._should_run.set()
        await self._wait_ready()

    async def _wait_ready(self) -> None:
        began_s = time.monotonic()
        startup = StartupTimeout(self.spec.stall_timeout_s, self.spec.ready_timeout_s, began_s)
        remind_at_s = began_s + _REMINDER_S
        ready = asyncio.create_task(self.ready.wait())
        watched = {ready, self._task} if self._task else {ready}
        try:
            while not self.ready.is_set():
                await asyncio.wait(watched, timeout=_SAMPLE_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
                if self._task and self._task.done():
                    # The first start failed; result() raises its LocalError.
                    self._task.result()
                now_s = time.monotonic()
                activity = self._activity()
                startup.observe(activity, now_s)
                reason = startup.timeout_reason(now_s)
                if reason and not self.ready.is_set():
                    raise LocalError(f"{self.spec.name} {reason}: {self._log_tail()}")
                if now_s >= remind_at_s:
                    remind_at_s = now_s + _REMINDER_S
                    self._progress(
                        f"waiting for {self.spec.name}: {now_s - began_s:.0f} s, {activity.cpu_s:.0f} s of CPU used"
                    )
        finally:
            ready.cancel()

    def _activity(self) -> Activity:
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
        """Send a signal to the process group.

        Args:
            number: the signal.
            restart: start the process again after its exit, as after a crash.
        """
        if not restart:
            self._should_run.clear()
        self.ready.clear()
        if self.pid is not None:
            _send_group(self.pid, number)

    async def stop(self) -> None:
        """Stop the process for good."""
        await self._stop_process()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        consecutive_exits = 0
        while True:
            await self._should_run.wait()
            began_s = time.monotonic()
            exit_reason = await self._run_once()
            if not self._should_run.is_set():
                consecutive_exits = 0
                continue
            if not self.started.is_set():
                raise LocalError(f"{self.spec.name} exited ({exit_reason}) before it was ready: {self._log_tail()}")
            ran_long = time.monotonic() - began_s > self._backoff.reset_after_s
            consecutive_exits = 1 if ran_long else consecutive_exits + 1
            delay_s = self._backoff.delay_s(consecutive_exits)
            self._log_event(f"exited ({exit_reason}); restarting in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> str:
        """Run the process until it exits.

        Returns:
            The exit code or signal, for a person to read.

        Raises:
            LocalError: The program of a first start cannot be executed.
        """
        try:
            process = await self._spawn()
        except LocalError as error:
            if not self.started.is_set():
                raise
            return str(error)
        probe = asyncio.create_task(self._probe_until_ready())
        try:
            return _describe_exit(await process.wait())
        finally:
            probe.cancel()
            self.ready.clear()
            # A surviving child would keep the port that the next start needs.
            _send_group(process.pid, signal.SIGKILL)
            self._watcher_pipe.remove_group(process.pid)
            self.on_change()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with translate_os_errors(f"cannot start {self.spec.name}"), self._log.open("ab") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env=dict(self.spec.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Own session: Ctrl-C reaches the supervisor only, and killpg reaches every child.
                start_new_session=True,
            )
        self._watcher_pipe.add_group(process.pid, self.spec.stop_signal)
        self.on_change()
        return process

    async def _probe_until_ready(self) -> None:
        while not await self.spec.probe():  # noqa: ASYNC110 - the other process cannot set our events
            await asyncio.sleep(_PROBE_INTERVAL_S)
        self.ready.set()

    async def _stop_process(self) -> None:
        self._should_run.clear()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Signal only the leader, which stops its children in its own order.
        with suppress(ProcessLookupError):
            process.send_signal(self.spec.stop_signal)
        try:
            async with asyncio.timeout(self.spec.stop_grace_s):
                await process.wait()
        except TimeoutError:
            self._log_event(f"did not stop within {self.spec.stop_grace_s:.0f} s; killing it")
            _send_group(process.pid, signal.SIGKILL)
            await process.wait()
        self.ready.clear()

    def _log_event(self, text: str) -> None:
        self._progress(f"{self.spec.name} {text}")
        with suppress(OSError), self._log.open("a") as log:
            log.write(f"supervisor: {self.spec.name} {text}\n")

    def _log_tail(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            text = ""
        return f"{last_lines(text) or 'no output'} (full log: {self._log})"


def _send_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
