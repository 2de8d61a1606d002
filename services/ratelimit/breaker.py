"""Decides whether the shared store is worth asking: not while it failed a moment ago."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Opens after `failures_max` failures in a row; then one call every `open_s` seconds tries again."""

    failures_max: int = 3
    open_s: float = 1.0
    failures: int = 0
    retry_at_s: float = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether to ask now. While open, the first caller after each `open_s` is the one that tries."""
        if self.failures < self.failures_max:
            return True
        if now_s < self.retry_at_s:
            return False
        self.retry_at_s = now_s + self.open_s
        return True

    def succeeded(self) -> None:
        """The store answered."""
        self.failures = 0

    def failed(self, now_s: float) -> None:
        """The store did not answer."""
        self.failures += 1
        self.retry_at_s = now_s + self.open_s
