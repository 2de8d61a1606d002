"""Ports of the router: everything outside of the process. Each port states its failure behaviour."""

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
    """A vendor. Closing a stream ends the vendor's work at once."""

    def stream(self, request: Request, candidate: Candidate) -> AsyncGenerator[ModelEvent, None]:
        """Stream the events of one answer; the last is `AnswerEnd`, and a stream without one was cut.

        Args:
            request: The request.
            candidate: A model of this vendor.

        Raises:
            ModelFailure: The vendor failed, or the connection broke.
        """
        ...

    async def prewarm(self, request: Request, candidate: Candidate) -> UsageUpdate:
        """Write the instructions and tools of the request into the vendor's prompt cache.

        Called only for candidates with an explicit cache.

        Returns:
            Usage of the call.

        Raises:
            ModelFailure: The call failed.
        """
        ...

    async def count_tokens(self, candidate: Candidate, text: str) -> int | None:
        """Return the tokens of `text` by the vendor's tokenizer; None where it does not count, or not in time."""
        ...

    async def close(self) -> None:
        """Close pooled connections."""
        ...


Providers = Mapping[str, Provider]


class Tables(Protocol):
    """The current tier table. A reload replaces it at any time, and never by an invalid one."""

    @property
    def current(self) -> TierTable:
        """The newest valid table."""
        ...


class Limits(Protocol):
    """Rate limits of the calling tenant. Fails open and counts it, so that no conversation is silenced."""

    async def require_request(self, prompt_tokens: int) -> None:
        """Charge one request and its prompt to the calling tenant.

        Args:
            prompt_tokens: Estimated tokens of the prompt.

        Raises:
            ResourceExhausted: A limit is used up; carries the seconds to wait.
        """
        ...

    def charge(self, tokens: int) -> None:
        """Charge `tokens` used beyond those of `require_request`, in the background; never refused."""
        ...


class Ledger(Protocol):
    """The cost ledger. Never waits and never raises; costs that cannot be recorded are logged and counted."""

    def reserve(self, cost: AttemptCost) -> None:
        """Journal the cost of a running call; if this process dies, the next one records it."""
        ...

    def record(self, cost: AttemptCost) -> None:
        """Record the final cost of one call for the calling tenant."""
        ...


class Budgets(Protocol):
    """Spending of tenants. Fails open: unknown spending counts as zero."""

    def standing(self, tenant_id: str, budget_micro_usd: int) -> BudgetStanding:
        """Return the standing of the tenant.

        Args:
            tenant_id: The calling tenant.
            budget_micro_usd: Its budget of a day (UTC) in micro-USD; 0 is unlimited.
        """
        ...

    def record(self, tenant_id: str, micro_usd: int) -> None:
        """Add a recorded cost in micro-USD."""
        ...


class Outcomes(Protocol):
    """Decisions and their outcomes, for refitting the scorer. Fails open: lost outcomes are counted."""

    def record_decision(
        self, tenant_id: str, turn_id: str, features: Mapping[str, float], tier: int, model: str
    ) -> None:
        """Store the features of a turn that `model`, listed in `tier`, started to answer."""
        ...

    async def record_outcome(self, tenant_id: str, turn_id: str, outcome: str) -> bool:
        """Store how the answer was received; False when the turn is unknown or older than an hour."""
        ...


class SharedState(Protocol):
    """State shared between replicas. Fails open to the state of this process, and counts it."""

    async def load_session(self, tenant_id: str, conversation_id: str) -> Session | None:
        """Return the session; None when it is new or cannot be read."""
        ...

    def store_session(self, tenant_id: str, conversation_id: str, session: Session) -> None:
        """Store the session in the background."""
        ...

    async def mix(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float]) -> TierMix:
        """Return the mix with the counts of other replicas merged in.

        Args:
            tenant_id: The calling tenant.
            mode: How shares are held.
            use: "generate" or "route"; each has a mix of its own.
            shares: Target share of each tier, sum 1.
        """
        ...

    def count(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float], tier: Tier) -> None:
        """Publish one more request in `tier` to other replicas, in the background."""
        ...

    def store_text(self, name: str, text: str) -> None:
        """Store `text` for an hour, for all replicas, in the background."""
        ...

    async def load_text(self, name: str) -> str | None:
        """Return the text stored under `name`, or None."""
        ...

    @property
    def breakers(self) -> Mapping[str, ModelCircuitBreaker]:
        """The newest breaker of each name, of this process or another."""
        ...

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker in this process only."""
        ...

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker and publish it to other replicas, in the background."""
        ...

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:
        """Claim the half-open probe of a breaker whose pause ended at `opened_until_s`; True for the first replica."""
        ...


@dataclass(frozen=True, slots=True)
class RouterPorts:
    """All ports of the router. `new_id` returns a unique id for a cost event."""

    tables: Tables
    providers: Providers
    limits: Limits
    ledger: Ledger
    budgets: Budgets
    outcomes: Outcomes
    state: SharedState
    clock: Clock
    new_id: Callable[[], str]
