"""Decide how long to wait for a starting process: as long as it makes progress, up to a limit.

A fixed timeout fails on a busy machine, where the imports of one service take minutes. Progress is CPU time or log
output; a process with neither is stuck.
"""

from __future__ import annotations

from dataclasses import dataclass

# CPU seconds that count as progress. Per minute, a stuck server uses at most 0.1 (timers, measured); imports on a
# tenth of a core use 6.
_PROGRESS_CPU_S = 0.5


@dataclass(frozen=True, slots=True)
class Activity:
    """Resource use of a process since its start.

    Attributes:
        cpu_s: CPU seconds of the process and its children.
        log_bytes: size of its log file.
    """

    cpu_s: float
    log_bytes: int


class StartupTimeout:
    """Two limits on a start: seconds without progress, and seconds in total.

    Args:
        stall_timeout_s: limit on seconds without progress.
        limit_s: limit on seconds in total.
        now_s: time of the start, on the same clock as in `observe` and `timeout_reason`.
    """

    def __init__(self, stall_timeout_s: float, limit_s: float, now_s: float) -> None:
        """Start at `now_s`."""
        self._stall_timeout_s = stall_timeout_s
        self._began_s = self._progressed_s = now_s
        self._limit_s = limit_s
        self._mark = Activity(0.0, 0)

    def observe(self, activity: Activity, now_s: float) -> None:
        """Record a sample; call it about once a second."""
        # CPU time falls only when the process was restarted, which counts as progress.
        restarted = activity.cpu_s < self._mark.cpu_s
        worked = activity.cpu_s >= self._mark.cpu_s + _PROGRESS_CPU_S
        if restarted or worked or activity.log_bytes != self._mark.log_bytes:
            self._mark = activity
            self._progressed_s = now_s

    def timeout_reason(self, now_s: float) -> str | None:
        """Return the limit that was exceeded, as the end of a sentence about the process, or None."""
        if now_s - self._progressed_s >= self._stall_timeout_s:
            return f"used no CPU and wrote nothing for {self._stall_timeout_s:.0f} s"
        if now_s - self._began_s >= self._limit_s:
            return f"was not ready within {self._limit_s:.0f} s"
        return None
