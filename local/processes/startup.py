"""Decides how long to wait for a process that starts: as long as it makes progress, up to a limit.

A fixed wait fails on a busy machine, where the imports of one service take minutes. Progress is CPU time used or
output written; a process that does neither is stuck.
"""

from __future__ import annotations

from dataclasses import dataclass

# A stuck server still wakes up for timers: measured at most 0.1 CPU-seconds a minute. Imports on a machine that gives
# the process a tenth of a core use 6.
_PROGRESS_CPU_S = 0.5


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process has done since it started.

    Attributes:
        cpu_s: CPU seconds of the process and its children.
        log_bytes: size of its log.
    """

    cpu_s: float
    log_bytes: int


class StartupWait:
    """Decides when to give up on a process that has not become ready.

    Args:
        stall_s: give up after this many seconds without progress.
        limit_s: give up after this many seconds in any case.
        now_s: time of the start, on the clock that `is_over` is asked with.
    """

    def __init__(self, stall_s: float, limit_s: float, now_s: float) -> None:
        """Start the wait at `now_s`."""
        self._stall_s = stall_s
        self._began_s = self._progressed_s = now_s
        self._limit_s = limit_s
        self._mark = Activity(0.0, 0)

    def observe(self, activity: Activity, now_s: float) -> None:
        """Take a sample; call it about once a second."""
        # A restarted process begins at zero again, which is progress too.
        restarted = activity.cpu_s < self._mark.cpu_s
        worked = activity.cpu_s >= self._mark.cpu_s + _PROGRESS_CPU_S
        if restarted or worked or activity.log_bytes != self._mark.log_bytes:
            self._mark = activity
            self._progressed_s = now_s

    def reason_to_give_up(self, now_s: float) -> str | None:
        """Return why the wait is over, for a person to read, or None while it goes on."""
        if now_s - self._progressed_s >= self._stall_s:
            return f"used no CPU and wrote nothing for {self._stall_s:.0f} s"
        if now_s - self._began_s >= self._limit_s:
            return f"was not ready within {self._limit_s:.0f} s"
        return None
