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
) -> AttemptCost:
    """The cost of a call to `candidate` that used what was `seen`, at the prices of the model that served it."""
    served = table.served_as(candidate.provider, seen.served_model) or candidate
    price = served.price(now_s, seen.usage.prompt_tokens)
    return AttemptCost(
        event_id=event_id,
        ended_at_s=now_s,
        provider=candidate.provider,
        model=_bookable(seen.served_model) or candidate.vendor_model or candidate.alias,
        tier=tier,
        usage=seen.usage,
        cost_micro_usd=cost_micro_usd(seen.usage, price),
        price_row=price.name,
        outcome=outcome,
        speculative=request.speculative,
        room=request.room,
        turn_id=request.turn_id,
        estimated=estimated,
    )
