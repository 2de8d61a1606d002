"""Decides whether a peer that failed lately is asked again."""

from __future__ import annotations


class Breaker:
    """Closed until `failures_max` failures in a row, then open for `open_s`, then one probe at a time."""

    def __init__(self, *, failures_max: int, open_s: float) -> None:
        """Begin closed. All times are given by the caller, in seconds of one monotonic clock."""
        self._failures_max = failures_max
        self._open_s = open_s
        self._failures = 0
        self._opens_until_s = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether to ask; an open breaker lets one probe through each `open_s`."""
        if self._failures < self._failures_max:
            return True
        if now_s < self._opens_until_s:
            return False
        self._opens_until_s = now_s + self._open_s
        return True

    def succeeded(self) -> None:
        """The peer answered."""
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """The peer did not answer."""
        self._failures += 1
        self._opens_until_s = now_s + self._open_s
