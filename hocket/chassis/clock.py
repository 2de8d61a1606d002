"""Clock as a dependency: flows read it, tests replace it, decisions get times as arguments."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time."""

    def monotonic(self) -> float:
        """Return seconds of a monotonic clock, for intervals."""
        ...

    def time(self) -> float:
        """Return Unix seconds, for timestamps."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    def monotonic(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()

    def time(self) -> float:
        """Return `time.time`."""
        return time.time()
