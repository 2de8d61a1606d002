"""What the router needs from outside. Each port says what happens when it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hocket.chassis.clock import Clock
from services.llm_router.billing.attempt_cost import AttemptCost
from services.llm_router.billing.budget import BudgetStanding
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import ModelEvent, UsageUpdate
from services.llm_router.chat.request import MixMode, Request, Tier
from services.llm_router.routing.circuit_breaker import ModelCircuitBreaker
from services.llm_router.routing.sessions import Session
from services.llm_router.routing.tier_mix import TierMix


class Provider(Protocol):
    """A vendor. Its stream raises ModelFailure; closing it ends the vendor's work at once."""

    def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """The events of one answer; the last is AnswerEnd. A stream without one was cut."""
        ...

    async def prewarm(self, request: Request, candidate: Candidate) -> UsageUpdate:
        """Write the request's instructions and tools into the vendor's cache: what that used.

        Asked of candidates with an explicit cache alone. Raises ModelFailure.
        """
        ...

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:
        """Tokens of `text` as the vendor counts them; None where it does not count, or not in time."""
        ...

    async def close(self) -> None:
        """Let pooled connections go."""
        ...


Providers = Mapping[str, Provider]


class Tables(Protocol):
    """The table of tiers now; a new one may appear at any time, never a wrong one."""

    @property
    def current(self) -> TierTable:
        """The newest valid table."""
        ...


class Limits(Protocol):
    """Whether the tenant may ask. Fails open, counted: a silent limiter must not silence a conversation."""

    async def require_request(self, prompt_tokens: int) -> None:
        """Spend one request and the tokens of its prompt for the caller's tenant. Raises ResourceExhausted."""
        ...

    def charge(self, tokens: int) -> None:
        """The answer took so many tokens beyond those required; spent behind the caller's back, and not refused."""
        ...


class Ledger(Protocol):
    """The book of costs. Never waits and never fails the caller; what cannot be booked is logged and counted."""

    def reserve(self, cost: AttemptCost) -> None:
        """An attempt has begun to cost: should the process die, this much is booked by the next."""
        ...

    def record(self, cost: AttemptCost) -> None:
        """Book one attempt for the caller's tenant."""
        ...


class Budgets(Protocol):
    """What tenants have spent. Fails open: an unknown spending is none."""

    def standing(self, tenant_id: str, budget_micro_usd: int) -> BudgetStanding:
        """Where the caller's tenant stands in a day of `budget_micro_usd`; 0 is no budget."""
        ...

    def record(self, tenant_id: str, micro_usd: int) -> None:
        """A cost was booked."""
        ...


class Outcomes(Protocol):
    """What was decided and how it was received, for refitting. Fails open: an outcome that is not kept is counted."""

    def record_decision(
        self, tenant_id: str, turn_id: str, features: Mapping[str, float], tier: int, model: str
    ) -> None:
        """A turn began to be answered by `model`, which stands in `tier`."""
        ...

    async def record_outcome(self, tenant_id: str, turn_id: str, outcome: str) -> bool:
        """How its answer was received; False when the turn is not known."""
        ...


class SharedState(Protocol):
    """What replicas know together. Fails open to this process's own knowledge, counted."""

    async def load_session(self, tenant_id: str, conversation_id: str) -> Session | None:
        """The conversation, or None when it is new or cannot be had."""
        ...

    def store_session(self, tenant_id: str, conversation_id: str, session: Session) -> None:
        """Keep the conversation; does not wait."""
        ...

    async def mix(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float]) -> TierMix:
        """The mix of a tenant, mode and use ("generate", "route"), with the counts of other replicas merged in."""
        ...

    def count(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float], tier: Tier) -> None:
        """Tell other replicas of one more request in `tier`; does not wait."""
        ...

    def store_text(self, name: str, text: str) -> None:
        """Keep `text` for an hour, here and for other replicas; does not wait."""
        ...

    async def load_text(self, name: str) -> str | None:
        """What was remembered under `name`, or None."""
        ...

    @property
    def breakers(self) -> Mapping[str, ModelCircuitBreaker]:
        """The newest breaker of each name, this process's own or another's."""
        ...

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Keep a breaker here, where it changed for this process alone."""
        ...

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Keep a breaker that changed, and tell other replicas; does not wait."""
        ...

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:
        """Whether this process may probe a breaker whose pause ended at `opened_until_s`: the first to ask may."""
        ...


@dataclass(frozen=True, slots=True)
class RouterPorts:
    """All that the router needs from outside."""

    tables: Tables
    providers: Providers
    limits: Limits
    ledger: Ledger
    budgets: Budgets
    outcomes: Outcomes
    state: SharedState
    clock: Clock
    new_id: Callable[[], str]
