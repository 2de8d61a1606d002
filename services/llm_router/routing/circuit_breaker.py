"""Whether a model is worth asking: closed, open for a while after failures, half open for one probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES_TO_OPEN = 5
PAUSE_MIN_S = 2.0
PAUSE_MAX_S = 60.0
# A probe that never came back frees its place after this long.
PROBE_MAX_S = 15.0


class BreakerState(StrEnum):
    """Requests pass, are refused, or one may try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class ModelCircuitBreaker:
    """The health of one candidate. Times are Unix seconds: replicas share it, and the one changed last counts."""

    failures: int = 0
    open_until_s: float = 0.0
    pause_s: float = 0.0
    probe_until_s: float = 0.0
    changed_s: float = 0.0

    def state(self, now_s: float) -> BreakerState:
        """The state at `now_s`."""
        if not self.pause_s:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self.open_until_s else BreakerState.HALF_OPEN

    def allows(self, now_s: float) -> bool:
        """Whether a request may be sent; half open, only while no probe is out."""
        state = self.state(now_s)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and now_s >= self.probe_until_s)

    def with_probe(self, now_s: float) -> ModelCircuitBreaker:
        """While somebody probes. It is no news to other replicas: what they know of the probe's end stays the newer."""
        return replace(self, probe_until_s=now_s + PROBE_MAX_S)

    def after_success(self, now_s: float) -> ModelCircuitBreaker:
        """After an answer."""
        return ModelCircuitBreaker(changed_s=now_s) if self.failures or self.pause_s else self

    def after_inconclusive_probe(self, now_s: float) -> ModelCircuitBreaker:
        """After a probe that proved nothing: its place is free, as if the pause had ended just now."""
        if self.state(now_s) is not BreakerState.HALF_OPEN or now_s >= self.probe_until_s:
            return self
        return replace(self, open_until_s=now_s, probe_until_s=0.0, changed_s=now_s)

    def after_failure(
        self, now_s: float, retry_after_s: float | None = None, *, at_once: bool = False
    ) -> ModelCircuitBreaker:
        """After a failure that is the model's; each pause is twice the one before, or what the vendor asked for.

        `at_once` opens at the first failure.
        """
        failures = self.failures + 1
        if self.state(now_s) is BreakerState.OPEN or (failures < FAILURES_TO_OPEN and not self.pause_s and not at_once):
            return replace(self, failures=failures, changed_s=now_s)
        pause = min(max(self.pause_s * 2, PAUSE_MIN_S, retry_after_s or 0.0), PAUSE_MAX_S)
        return ModelCircuitBreaker(failures, now_s + pause, pause, changed_s=now_s)
