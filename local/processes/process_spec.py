"""What the supervisor needs to know of one process, and nothing of what the process is."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process of the mesh.

    Attributes:
        name: unique; also the name of the log file.
        argv: program and arguments.
        env: the whole environment of the process.
        probe: returns True while the process serves; must return within a few seconds.
        depends_on: names of the processes that must be ready before this one starts.
        stop_signal: asks the process for an orderly stop.
        stop_grace_s: seconds from `stop_signal` to SIGKILL.
        stall_timeout_s: seconds without CPU use or output after which a start fails; see `local.processes.startup`.
        ready_timeout_s: seconds after which a start fails in any case.
        before_start: runs once, when the dependencies are ready and before the first start.
        after_ready: runs once, after the first successful probe and before dependents start.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    probe: Probe
    depends_on: Sequence[str] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15
    stall_timeout_s: float = 60
    ready_timeout_s: float = 900
    before_start: Callable[[], Awaitable[None]] | None = field(default=None)
    after_ready: Callable[[], Awaitable[None]] | None = field(default=None)
