"""What one call to a vendor is booked as: usage, the price row of the model that served, the money."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.llm_router.billing.pricing import cost_micro_usd
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import Request, Tier

# As many as the book of costs takes.
MODEL_BYTES_MAX = 128


class AttemptOutcome(StrEnum):
    """How an attempt at a vendor ended, for the book."""

    OK = "ok"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptCost:
    """One vendor call, to be booked exactly once under `event_id`.

    `unconfirmed_tokens` are those of a prompt that the vendor was sent and never spoke of: nobody knows whether it was
    read. They are booked at nothing; a bill above the book is explained by them.
    """

    event_id: str
    ended_at_s: float
    provider: str
    model: str
    tier: Tier
    usage: Usage
    cost_micro_usd: int
    price_row: str
    outcome: AttemptOutcome
    speculative: bool
    room: str
    turn_id: str
    estimated: bool = False
    unconfirmed_tokens: int = 0


def _bookable(name: str) -> str:
    """A vendor's name of a model as the book of costs takes it: whatever a server calls itself, the call is booked."""
    printable = "".join(c for c in name if c.isprintable())
    return printable.encode(errors="ignore")[:MODEL_BYTES_MAX].decode(errors="ignore").strip()


def cost_of_attempt(
    table: TierTable,
    request: Request,
    candidate: Candidate,
    seen: UsageUpdate,
    *,
    event_id: str,
    tier: Tier,
    now_s: float,
    outcome: AttemptOutcome,
    estimated: bool = False,
    unconfirmed: bool = False,
) -> AttemptCost:
    """The cost of a call to `candidate` that used what was `seen`, at the prices of the model that served it.

    A model that the table has no prices of is booked at those of the candidate, as an estimate. `unconfirmed` when the
    vendor did not say that it took the request.
    """
    served = table.candidate_served(candidate, seen.served_model) if seen.served_model else candidate
    price = (served or candidate).price(now_s, seen.usage.prompt_tokens)
    cost = cost_micro_usd(seen.usage, price)
    return AttemptCost(
        event_id=event_id,
        ended_at_s=now_s,
        provider=candidate.provider,
        model=_bookable(seen.served_model) or candidate.vendor_model or candidate.alias,
        tier=tier,
        usage=seen.usage,
        cost_micro_usd=cost,
        price_row=price.name,
        outcome=outcome,
        speculative=request.speculative,
        room=request.room,
        turn_id=request.turn_id,
        estimated=estimated or unconfirmed or (served is None and cost > 0),
        unconfirmed_tokens=request.prompt_tokens if unconfirmed else 0,
    )
