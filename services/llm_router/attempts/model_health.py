"""Availability of the candidates in the tier table: configuration, end of life and circuit breakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum

from hocket.chassis.clock import Clock
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.request import Tier
from services.llm_router.errors import NOT_MODEL_FAULT, PERMANENT, REQUEST_FAULT, FailureKind, ModelFailure
from services.llm_router.ports import Providers, SharedState, Tables
from services.llm_router.routing.circuit_breaker import PAUSE_MIN_S, BreakerState, ModelCircuitBreaker
from services.llm_router.routing.decision import BREAKER_OPEN, END_OF_LIFE


class BreakerPermit(IntEnum):
    """Answer of a circuit breaker to a request. PROBE: allowed, and its result decides the half-open breaker."""

    DENIED = 0
    ALLOWED = 1
    PROBE = 2


class ModelHealth:
    """Candidates of the current table with their providers and breakers."""

    def __init__(
        self, tables: Tables, providers: Providers, state: SharedState, clock: Clock, *, embedded: bool, keys: str = ""
    ) -> None:
        """Wire the registry.

        Args:
            tables: The current tier table.
            providers: Configured providers by name.
            state: Breakers, shared between replicas.
            clock: Unix time.
            embedded: Whether the embedded answerer is the last candidate of each tier.
            keys: Fingerprint of the vendor keys; replicas with different keys have separate breakers.
        """
        self._tables = tables
        self._providers = providers
        self._clock = clock
        self._embedded = embedded
        self._state = state
        self._keys = keys

    @property
    def table(self) -> TierTable:
        """The current tier table."""
        return self._tables.current

    @property
    def now_s(self) -> float:
        """Unix seconds."""
        return self._clock.time()

    def unavailable_reason(self, candidate: Candidate) -> str | None:
        """Return why `candidate` cannot be tried now, or None."""
        if candidate.provider == "embedded" and not self._embedded:
            return "the embedded answerer is disabled while a vendor is configured"
        if candidate.provider not in self._providers:
            return f"provider {candidate.provider} is not configured"
        if not candidate.vendor_model:
            return "no model name is set for it (HOCKET_LLM_ROUTER_OPENAI_MODEL)"
        if not self.breaker(candidate).allows(self.now_s):
            return BREAKER_OPEN
        return None

    def breaker(self, candidate: Candidate) -> ModelCircuitBreaker:
        """Return the circuit breaker of `candidate`."""
        return self._state.breakers.get(self._name(candidate), ModelCircuitBreaker())

    def is_closed(self, candidate: Candidate) -> bool:
        """True when the breaker of `candidate` is closed."""
        return self.breaker(candidate).state(self.now_s) is BreakerState.CLOSED

    async def acquire_permit(self, candidate: Candidate) -> BreakerPermit:
        """Decide whether a request may go to `candidate` now.

        A closed breaker allows every request. A half-open one allows the first request of all replicas, as its probe.
        """
        if self.is_closed(candidate):
            return BreakerPermit.ALLOWED
        breaker = self.breaker(candidate)
        if not breaker.allows(self.now_s):
            return BreakerPermit.DENIED
        # Set locally before the claim, so that no second request of this process claims too. Published only by the
        # winner: a loser's write would overwrite what the winner learns.
        name, probing = self._name(candidate), breaker.with_probe(self.now_s)
        self._state.set_local_breaker(name, probing)
        try:
            first = await self._state.claim_probe(name, breaker.open_until_s)
        except BaseException:
            # Cancelled while claiming: release the probe slot.
            self._state.set_local_breaker(name, breaker)
            raise
        if not first:
            return BreakerPermit.DENIED
        self._state.publish_breaker(name, replace(probing, changed_s=self.now_s))
        return BreakerPermit.PROBE

    def record_success(self, candidate: Candidate) -> None:
        """Record an answer; ignored while the breaker is open, because that request started before it opened."""
        breaker = self.breaker(candidate)
        if breaker.state(self.now_s) is not BreakerState.OPEN:
            self._set(candidate, breaker.after_success(self.now_s))

    def record_failure(self, candidate: Candidate, failure: ModelFailure, *, probe: bool = False) -> None:
        """Record a failure; those of the request or the caller do not count against the model."""
        if failure.kind not in NOT_MODEL_FAULT:
            self._record_model_fault(candidate, failure)
        elif failure.kind in REQUEST_FAULT and probe:
            # The vendor answered the probe: it is healthy, whatever the request's fault.
            self.record_success(candidate)
        else:
            self.record_inconclusive(candidate, probe=probe)

    def record_inconclusive(self, candidate: Candidate, *, probe: bool) -> None:
        """Record an attempt without result; if it was the probe, the next request may probe."""
        if probe:
            self._set(candidate, self.breaker(candidate).after_inconclusive_probe(self.now_s))

    def _record_model_fault(self, candidate: Candidate, failure: ModelFailure) -> None:
        # A rejected key or an unknown model fails every request; a rate limit with a long wait applies to all requests
        # too.
        long_wait = failure.kind is FailureKind.RATE_LIMITED and (failure.retry_after_s or 0) >= PAUSE_MIN_S
        at_once = long_wait or failure.kind in PERMANENT
        self._set(candidate, self.breaker(candidate).after_failure(self.now_s, failure.retry_after_s, at_once=at_once))

    def _set(self, candidate: Candidate, breaker: ModelCircuitBreaker) -> None:
        if breaker != self.breaker(candidate):
            self._state.publish_breaker(self._name(candidate), breaker)

    def _name(self, candidate: Candidate) -> str:
        return f"{candidate.provider}/{candidate.vendor_model}/{self._keys}"

    def models(self) -> list[tuple[Tier, Candidate, str | None]]:
        """Return every candidate by tier in the order of trying, each with its unavailable reason or None."""
        return [
            (
                tier,
                c,
                self.unavailable_reason(c) if c.in_service(self.now_s) else END_OF_LIFE,
            )
            for tier in Tier
            for c in self.table.candidates(tier)
        ]

    def health(self) -> Mapping[str, tuple[ModelCircuitBreaker, BreakerState]]:
        """Return the breaker of each candidate and its state now, by alias."""
        breakers = {c.alias: self.breaker(c) for tier in Tier for c in self.table.candidates(tier)}
        return {alias: (b, b.state(self.now_s)) for alias, b in breakers.items()}
