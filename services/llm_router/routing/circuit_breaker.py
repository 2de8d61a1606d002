"""The circuit breaker of one model: closed, open after failures, half-open for a single probe of all replicas.

Differs from `hocket.chassis.circuit_breaker`: immutable, shared between replicas by `changed_s`, honours the vendor's
retry-after, and doubles its pause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES_TO_OPEN = 5
PAUSE_MIN_S = 2.0
PAUSE_MAX_S = 60.0
# A probe without a result releases its slot after this long.
PROBE_MAX_S = 15.0


class BreakerState(StrEnum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class ModelCircuitBreaker:
    """Breaker of one candidate. Times are Unix seconds; between replicas the value with the newest `changed_s` wins."""

    failures: int = 0
    open_until_s: float = 0.0
    pause_s: float = 0.0
    probe_until_s: float = 0.0
    changed_s: float = 0.0

    def state(self, now_s: float) -> BreakerState:
        """Return the state at `now_s`."""
        if not self.pause_s:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self.open_until_s else BreakerState.HALF_OPEN

    def allows(self, now_s: float) -> bool:
        """True when a request may be sent; half-open, only while no probe is running."""
        state = self.state(now_s)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and now_s >= self.probe_until_s)

    def with_probe(self, now_s: float) -> ModelCircuitBreaker:
        """Claim the half-open probe slot; keeps `changed_s`, so that another replica's newer result wins a merge."""
        return replace(self, probe_until_s=now_s + PROBE_MAX_S)

    def after_success(self, now_s: float) -> ModelCircuitBreaker:
        """Return the breaker after an answer."""
        return ModelCircuitBreaker(changed_s=now_s) if self.failures or self.pause_s else self

    def after_inconclusive_probe(self, now_s: float) -> ModelCircuitBreaker:
        """Return the breaker after a probe without result: the slot is free, as if the pause had just ended."""
        if self.state(now_s) is not BreakerState.HALF_OPEN or now_s >= self.probe_until_s:
            return self
        return replace(self, open_until_s=now_s, probe_until_s=0.0, changed_s=now_s)

    def after_failure(
        self, now_s: float, retry_after_s: float | None = None, *, at_once: bool = False
    ) -> ModelCircuitBreaker:
        """Return the breaker after a failure of the model. Each pause doubles, or follows the vendor's retry-after.

        Args:
            now_s: Unix seconds.
            retry_after_s: Wait that the vendor asked for, in seconds; the pause is at most `PAUSE_MAX_S`.
            at_once: Open at the first failure.
        """
        failures = self.failures + 1
        if self.state(now_s) is BreakerState.OPEN or (failures < FAILURES_TO_OPEN and not self.pause_s and not at_once):
            return replace(self, failures=failures, changed_s=now_s)
        pause = min(max(self.pause_s * 2, PAUSE_MIN_S, retry_after_s or 0.0), PAUSE_MAX_S)
        return ModelCircuitBreaker(failures, now_s + pause, pause, changed_s=now_s)
