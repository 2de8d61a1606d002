"""Which candidates there are now, whether each may be tried, and the breaker of each."""

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
from services.llm_router.routing.decision import BREAKER_OPEN


class Admission(IntEnum):
    """Whether a request may go to a candidate. The one that probes a half-open breaker tells how it went."""

    NO = 0
    FREELY = 1
    AS_PROBE = 2


class ModelHealth:
    """Candidates of the table in force, seen with the providers configured and their health."""

    def __init__(
        self, tables: Tables, providers: Providers, state: SharedState, clock: Clock, *, embedded: bool, keys: str = ""
    ) -> None:
        """`embedded` says whether the embedded answerer stands in every tier as its last candidate.

        `keys` stands for the vendors' keys in use: replicas with other keys keep other breakers.
        """
        self._tables = tables
        self._providers = providers
        self._clock = clock
        self._embedded = embedded
        self._state = state
        self._keys = keys

    @property
    def table(self) -> TierTable:
        """The table in force."""
        return self._tables.current

    @property
    def now_s(self) -> float:
        """Unix seconds."""
        return self._clock.time()

    def unavailable_reason(self, candidate: Candidate) -> str | None:
        """Why `candidate` may not be tried now, or None."""
        if candidate.provider == "embedded" and not self._embedded:
            return "the embedded answerer is off where a vendor is configured"
        if candidate.provider not in self._providers:
            return f"no {candidate.provider} is configured"
        if not candidate.vendor_model:
            return "no model is named for it in the settings"
        if not self.breaker(candidate).allows(self.now_s):
            return BREAKER_OPEN
        return None

    def breaker(self, candidate: Candidate) -> ModelCircuitBreaker:
        """The breaker of `candidate`."""
        return self._state.breakers.get(self._name(candidate), ModelCircuitBreaker())

    def is_closed(self, candidate: Candidate) -> bool:
        """Whether `candidate` is asked without reserve."""
        return self.breaker(candidate).state(self.now_s) is BreakerState.CLOSED

    async def admit(self, candidate: Candidate) -> Admission:
        """Whether a request may go to `candidate` now; half open, the first one of all replicas may, as the probe."""
        if self.is_closed(candidate):
            return Admission.FREELY
        breaker = self.breaker(candidate)
        if not breaker.allows(self.now_s):
            return Admission.NO
        # Kept before the others are asked, so that no second request of this process asks them too; told to them only
        # by whose probe it is, or the loser would overwrite what the winner has learnt.
        name, probing = self._name(candidate), breaker.with_probe(self.now_s)
        self._state.set_local_breaker(name, probing)
        try:
            first = await self._state.claim_probe(name, breaker.open_until_s)
        except BaseException:
            # The caller left: the place is not held for nobody.
            self._state.set_local_breaker(name, breaker)
            raise
        if not first:
            return Admission.NO
        self._state.publish_breaker(name, replace(probing, changed_s=self.now_s))
        return Admission.AS_PROBE

    def record_success(self, candidate: Candidate) -> None:
        """`candidate` answered; while it is open, to a request from before, which says nothing of now."""
        breaker = self.breaker(candidate)
        if breaker.state(self.now_s) is not BreakerState.OPEN:
            self._set(candidate, breaker.after_success(self.now_s))

    def record_failure(self, candidate: Candidate, failure: ModelFailure, *, probe: bool = False) -> None:
        """`candidate` failed; failures that are the request's are not held against it."""
        if failure.kind not in NOT_MODEL_FAULT:
            self._record_model_fault(candidate, failure)
        elif failure.kind in REQUEST_FAULT and probe:
            # Whatever it said of the request: a vendor that answers is well.
            self.record_success(candidate)
        else:
            self.record_inconclusive(candidate, probe=probe)

    def record_inconclusive(self, candidate: Candidate, *, probe: bool) -> None:
        """An attempt ended without a word about `candidate`; if it was the probe, the next request may be one."""
        if probe:
            self._set(candidate, self.breaker(candidate).after_inconclusive_probe(self.now_s))

    def _record_model_fault(self, candidate: Candidate, failure: ModelFailure) -> None:
        # A refused key is refused again, a model that is not there neither; a vendor that names a wait means everybody.
        asked_to_wait = failure.kind is FailureKind.RATE_LIMITED and (failure.retry_after_s or 0) >= PAUSE_MIN_S
        at_once = asked_to_wait or failure.kind in PERMANENT
        self._set(candidate, self.breaker(candidate).after_failure(self.now_s, failure.retry_after_s, at_once=at_once))

    def _set(self, candidate: Candidate, breaker: ModelCircuitBreaker) -> None:
        if breaker != self.breaker(candidate):
            self._state.publish_breaker(self._name(candidate), breaker)

    def _name(self, candidate: Candidate) -> str:
        return f"{candidate.provider}/{candidate.vendor_model}/{self._keys}"

    def models(self) -> list[tuple[Tier, Candidate, str | None]]:
        """Every candidate in the order of trying, tier by tier, with why it may not be tried now."""
        return [
            (
                tier,
                c,
                self.unavailable_reason(c) if c.in_service(self.now_s) else "its vendor has taken it out of service",
            )
            for tier in Tier
            for c in self.table.candidates(tier)
        ]

    def health(self) -> Mapping[str, tuple[ModelCircuitBreaker, BreakerState]]:
        """The breaker of each candidate and its state now, by alias."""
        seen = {c.alias: self.breaker(c) for tier in Tier for c in self.table.candidates(tier)}
        return {alias: (b, b.state(self.now_s)) for alias, b in seen.items()}
