"""What one call to a vendor is booked as: usage, the price row of the model that served, the money."""

from __future__ import annotations

from services.llm_router.conversation import Request, Tier
from services.llm_router.events import UsageSeen
from services.llm_router.ports import AttemptCost, AttemptOutcome
from services.llm_router.pricing import cost_micro_usd
from services.llm_router.tiers import Candidate, TierTable

# As many as the book of costs takes.
MODEL_BYTES_MAX = 128


def _bookable(name: str) -> str:
    """A vendor's name of a model as the book of costs takes it: whatever a server calls itself, the call is booked."""
    printable = "".join(c for c in name if c.isprintable())
    return printable.encode(errors="ignore")[:MODEL_BYTES_MAX].decode(errors="ignore").strip()


def reckon(
    table: TierTable,
    request: Request,
    candidate: Candidate,
    seen: UsageSeen,
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
    served = table.served_as(candidate, seen.served_model) if seen.served_model else candidate
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
