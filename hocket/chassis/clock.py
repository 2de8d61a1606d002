"""Time as a dependency, so that decisions and tests own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a flow reads the time."""

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch, for stamps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds of `time.time`."""
        return time.time()
