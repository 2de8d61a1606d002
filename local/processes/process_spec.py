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
        needs: names of the processes that must be ready before this one starts.
        ready: true once the process serves; must give up by itself within a few seconds.
        stop_signal: what asks the process to end in its own order.
        stop_grace_s: how long it may take over that before it is killed.
        stall_timeout_s: a start fails after this many seconds without CPU use or output; see `local.processes.startup`.
        ready_timeout_s: a start fails after this many seconds in any case.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Probe
    needs: Sequence[str] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15
    stall_timeout_s: float = 60
    ready_timeout_s: float = 900
    after_ready: Callable[[], Awaitable[None]] | None = field(default=None)
