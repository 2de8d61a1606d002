"""The order of attempts after a failure: remaining candidates at once, then retries of transient failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.errors import RETRYABLE, FailureKind, ModelFailure

ATTEMPTS_MAX = 6
BACKOFF_S = 0.25
# Jitter against thundering herds; never shortens the vendor's retry-after.
JITTER_SHARE = 0.25
WAIT_SLACK_S = 0.05
WAIT_MAX_S = 10.0
# Time that an answer needs: with less left, no further candidate is tried, and no wait starts that leaves less.
ANSWER_MIN_S = 0.5
BUDGET_MAX = 10.0
BUDGET_PER_SUCCESS = 0.1


@dataclass(slots=True)
class RetryBudget:
    """Retries that the process may still make.

    A retry costs 1, an answer returns 0.1: retries stay below a tenth of the traffic when a vendor fails for all.
    """

    left: float = BUDGET_MAX

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def credit(self) -> None:
        """Return a tenth of a retry after an answer."""
        self.left = min(self.left + BUDGET_PER_SUCCESS, BUDGET_MAX)


@dataclass(frozen=True, slots=True)
class Step:
    """Try `candidate` after `wait_s` seconds."""

    candidate: Candidate
    wait_s: float = 0.0


@dataclass(slots=True)
class Fallback:
    """The attempts of one request. `random_share` returns numbers from 0 to 1.

    `failures` maps the alias of each failed model to its failure kind.
    """

    candidates: Sequence[Candidate]
    budget: RetryBudget
    random_share: Callable[[], float] = random.random
    failures: dict[str, str] = field(default_factory=dict[str, str])
    retry_after_s: float | None = None
    _attempts: int = 0
    _position: int = 0
    _retries: list[tuple[float, Candidate]] = field(default_factory=list[tuple[float, Candidate]])

    def next_attempt(self, now_s: float, left_s: float | None) -> Step | None:
        """Return the next attempt, or None when none is left.

        Args:
            now_s: Monotonic seconds.
            left_s: Seconds until the caller's deadline; None without one.
        """
        if self._attempts >= ATTEMPTS_MAX:
            return None
        step = self._next_candidate(left_s) or self._retry(now_s, left_s)
        if step is not None:
            self._attempts += 1
        return step

    def _next_candidate(self, left_s: float | None) -> Step | None:
        """Return the next candidate that can still answer.

        Near the deadline only the embedded answerer is tried after the first: others would be billed without answering.
        """
        near_deadline = bool(self._attempts) and left_s is not None and left_s < ANSWER_MIN_S
        while self._position < len(self.candidates):
            candidate = self.candidates[self._position]
            self._position += 1
            if not near_deadline or candidate.provider == "embedded":
                return Step(candidate)
            self.failures[candidate.alias] = FailureKind.CALLER_DEADLINE.value
        return None

    @property
    def exhausted(self) -> bool:
        """True when every candidate was tried once."""
        return self._position >= len(self.candidates)

    def next_hedge(self, is_eligible: Callable[[Candidate], bool]) -> Candidate | None:
        """Take the next candidate for a hedge if it `is_eligible`; counts as an attempt."""
        if self.exhausted or self._attempts >= ATTEMPTS_MAX or not is_eligible(self.candidates[self._position]):
            return None
        self._position += 1
        self._attempts += 1
        return self.candidates[self._position - 1]

    def skip(self, candidate: Candidate) -> None:
        """Record that `candidate` was not tried: its breaker is open, or another request probes it."""
        self.failures.setdefault(candidate.alias, "breaker_open")

    def record_failure(self, candidate: Candidate, failure: ModelFailure, now_s: float) -> None:
        """Record the failure of `candidate` at `now_s` (monotonic seconds); transient ones are queued for a retry."""
        self.failures[candidate.alias] = failure.kind.value
        if failure.retry_after_s is not None:
            self.retry_after_s = min(self.retry_after_s or failure.retry_after_s, failure.retry_after_s)
        if failure.kind in RETRYABLE:
            wait = BACKOFF_S * 2 ** len(self._retries) if failure.retry_after_s is None else failure.retry_after_s
            self._retries.append((now_s + wait + WAIT_SLACK_S + wait * JITTER_SHARE * self.random_share(), candidate))

    def _retry(self, now_s: float, left_s: float | None) -> Step | None:
        if not self._retries:
            return None
        self._retries.sort(key=lambda row: row[0])
        retry_at_s, candidate = self._retries[0]
        wait = max(retry_at_s - now_s, 0.0)
        too_late = left_s is not None and wait + ANSWER_MIN_S > left_s
        if wait > WAIT_MAX_S or too_late or not self.budget.spend():
            return None
        del self._retries[0]
        return Step(candidate, wait)
