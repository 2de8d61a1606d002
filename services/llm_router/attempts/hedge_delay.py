"""How long models take to their first token, and from when on a second one is asked beside a slow one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SAMPLES_MAX = 200
SAMPLES_MIN = 20
QUANTILE = 0.95
HEDGE_DELAY_MIN_S = 0.3
# Hedges stay below one request in twenty, whatever the latencies do.
HEDGE_SHARE = 0.05


@dataclass(slots=True)
class FirstTokenLatencies:
    """Times to the first token of each model, in seconds, and how many hedges may be sent."""

    _seen: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _credit: float = 1.0

    def record(self, alias: str, seconds: float) -> None:
        """`alias` spoke after `seconds`."""
        self._seen.setdefault(alias, deque(maxlen=SAMPLES_MAX)).append(seconds)
        self._credit = min(self._credit + HEDGE_SHARE, 5.0)

    def p95_s(self, alias: str) -> float | None:
        """Seconds that `alias` hardly ever takes longer than (the 95th percentile); None while too little is known."""
        samples = self._seen.get(alias)
        if samples is None or len(samples) < SAMPLES_MIN:
            return None
        return sorted(samples)[int(QUANTILE * (len(samples) - 1))]

    def hedge_delay_s(self, alias: str) -> float | None:
        """Seconds after which a hedge is worth it; None while too little is known, or enough hedges were sent."""
        usual = self.p95_s(alias) if self._credit >= 1 else None
        return None if usual is None else max(usual, HEDGE_DELAY_MIN_S)

    def spend_hedge(self) -> None:
        """A hedge was sent."""
        self._credit -= 1
