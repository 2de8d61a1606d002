"""Costs of explicit caches: one read of the tokens, and storage for the requested lifetime."""

from __future__ import annotations

import uuid
from dataclasses import replace

from hocket.chassis import identity
from hocket.chassis.clock import Clock
from services.llm_router import telemetry
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome
from services.llm_router.billing.pricing import cache_cost_micro_usd
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import Usage
from services.llm_router.ports import Ledger, Tables
from services.llm_router.prompt_cache.breakpoints import TTL_5M_S


class CacheCosts:
    """Costs of explicit caches, recorded for the calling tenant.

    Vendors bill storage for the requested lifetime, also of caches deleted earlier.
    """

    def __init__(self, ledger: Ledger, tables: Tables, clock: Clock) -> None:
        """Record in `ledger` under the cheapest tier that lists the model: many requests share a cache."""
        self._ledger = ledger
        self._tables = tables
        self._clock = clock

    def reserve(self, candidate: Candidate, tokens: int) -> AttemptCost:
        """Journal the cost of a cache of about `tokens` before it is created."""
        now = self._clock.time()
        price = candidate.price(now, tokens)
        cost = AttemptCost(
            event_id=str(uuid.uuid4()),
            ended_at_s=now,
            provider=candidate.provider,
            model=candidate.vendor_model,
            tier=self._tables.current.tier_of(candidate.alias),
            usage=Usage(cache_write_5m_tokens=tokens),
            cost_micro_usd=cache_cost_micro_usd(tokens, int(TTL_5M_S), price),
            price_row=price.name,
            outcome=AttemptOutcome.FAILED,
            speculative=False,
            room="",
            turn_id="",
            estimated=True,
        )
        self._ledger.reserve(cost)
        return cost

    def settle(self, reserved: AttemptCost, candidate: Candidate, tokens: int) -> None:
        """Record a created cache with the vendor's token count."""
        price = candidate.price(reserved.ended_at_s, tokens)
        self._record(
            replace(
                reserved,
                usage=Usage(cache_write_5m_tokens=tokens),
                cost_micro_usd=cache_cost_micro_usd(tokens, int(TTL_5M_S), price),
                price_row=price.name,
                outcome=AttemptOutcome.OK,
                estimated=False,
            )
        )

    def release(self, reserved: AttemptCost) -> None:
        """Record that the vendor created no cache."""
        self._record(replace(reserved, usage=Usage(), cost_micro_usd=0, estimated=False))

    def record_estimate(self, reserved: AttemptCost) -> None:
        """Record the reservation when no response arrived: the cache is assumed to exist."""
        self._record(reserved)

    def _record(self, cost: AttemptCost) -> None:
        self._ledger.record(cost)
        telemetry.count_cost(cost, identity.current().tenant_tier)
