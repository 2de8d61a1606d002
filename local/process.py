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
        ready: true once the process serves; must give up by itself within a second or two.
        stop_signal: what asks the process to end in its own order.
        stop_grace_s: how long it may take over that before it is killed.
        ready_timeout_s: how long the first start may take before it counts as failed.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Probe
    needs: Sequence[str] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15
    ready_timeout_s: float = 60
    after_ready: Callable[[], Awaitable[None]] | None = field(default=None)
