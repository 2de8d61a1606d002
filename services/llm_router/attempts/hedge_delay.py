"""First-token latencies of models, and the delay after which a hedge is sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SAMPLES_MAX = 200
SAMPLES_MIN = 20
QUANTILE = 0.95
HEDGE_DELAY_MIN_S = 0.3
# Hedges stay below one request in twenty over time.
HEDGE_SHARE = 0.05


@dataclass(slots=True)
class FirstTokenLatencies:
    """First-token latencies of each model in seconds, and the hedges that may still be sent."""

    _seen: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _credit: float = 1.0

    def record(self, alias: str, seconds: float) -> None:
        """Record that `alias` sent its first token after `seconds`; earns a twentieth of a hedge."""
        self._seen.setdefault(alias, deque(maxlen=SAMPLES_MAX)).append(seconds)
        self._credit = min(self._credit + HEDGE_SHARE, 5.0)

    def p95_s(self, alias: str) -> float | None:
        """Return the 95th percentile of `alias` in seconds; None with fewer than `SAMPLES_MIN` samples."""
        samples = self._seen.get(alias)
        if samples is None or len(samples) < SAMPLES_MIN:
            return None
        return sorted(samples)[int(QUANTILE * (len(samples) - 1))]

    def hedge_delay_s(self, alias: str) -> float | None:
        """Return the seconds after which to hedge; None with too few samples or without hedge credit."""
        usual = self.p95_s(alias) if self._credit >= 1 else None
        return None if usual is None else max(usual, HEDGE_DELAY_MIN_S)

    def spend_hedge(self) -> None:
        """Take the credit of one hedge."""
        self._credit -= 1
