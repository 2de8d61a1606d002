"""Circuit breaker for one dependency: stop calling it after failures in a row, then probe whether it is back."""

from __future__ import annotations

from enum import Enum


class CircuitState(Enum):
    """State of a circuit breaker at one moment."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Closed, open or half-open for one dependency. Pure: the caller passes the time.

    All times are seconds of one monotonic clock. A half-open breaker admits a probe: a success closes it, a failure
    opens it again for `open_s`.
    """

    def __init__(self, *, failures_max: int = 3, open_s: float = 1.0, single_probe: bool = True) -> None:
        """Start closed.

        Args:
            failures_max: Consecutive failures that open the breaker, 1 or more.
            open_s: Seconds without calls after the last failure, above 0.
            single_probe: Admit one call per `open_s` while half-open. False admits every call until one fails.
        """
        self.open_s = open_s
        self._failures_max = failures_max
        self._single_probe = single_probe
        self._failures = 0
        self._probe_at_s = 0.0

    def state(self, now_s: float) -> CircuitState:
        """Return the state at `now_s`."""
        if self._failures < self._failures_max:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now_s < self._probe_at_s else CircuitState.HALF_OPEN

    def allows(self, now_s: float) -> bool:
        """Decide whether to call the dependency now; call it once per attempt.

        With `single_probe`, a True of a half-open breaker claims the probe: the next one is due `open_s` later, so that
        a probe without a recorded outcome (a cancelled call) does not block the dependency for good.
        """
        state = self.state(now_s)
        if state is CircuitState.HALF_OPEN and self._single_probe:
            self._probe_at_s = now_s + self.open_s
        return state is not CircuitState.OPEN

    def record_success(self) -> None:
        """Close the breaker: the dependency answered."""
        self._failures = 0

    def record_failure(self, now_s: float) -> None:
        """Count a call that failed or timed out; at `failures_max` in a row, stay open until `now_s + open_s`."""
        self._failures += 1
        self._probe_at_s = now_s + self.open_s
