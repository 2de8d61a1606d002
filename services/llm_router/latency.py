"""How long models take to their first token, and from when on a second one is asked beside a slow one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SAMPLES_MAX = 200
SAMPLES_MIN = 20
QUANTILE = 0.95
HEDGE_AFTER_MIN_S = 0.3
# Hedges stay below one request in twenty, whatever the latencies do.
HEDGE_SHARE = 0.05


@dataclass(slots=True)
class FirstTokens:
    """Times to the first token of each model, in seconds, and how many hedges may be sent."""

    _seen: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _credit: float = 1.0

    def seen(self, alias: str, seconds: float) -> None:
        """`alias` spoke after `seconds`."""
        self._seen.setdefault(alias, deque(maxlen=SAMPLES_MAX)).append(seconds)
        self._credit = min(self._credit + HEDGE_SHARE, 5.0)

    def hedge_after(self, alias: str) -> float | None:
        """Seconds after which a hedge is worth it (the 95th percentile), or None while too little is known."""
        samples = self._seen.get(alias)
        if samples is None or len(samples) < SAMPLES_MIN or self._credit < 1:
            return None
        return max(sorted(samples)[int(QUANTILE * (len(samples) - 1))], HEDGE_AFTER_MIN_S)

    def hedged(self) -> None:
        """A hedge was sent."""
        self._credit -= 1
