"""The cost of one vendor call: usage, the price row of the model that served, and the amount."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.llm_router.billing.pricing import cost_micro_usd
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import Request, Tier

# Limit of the ledger for model names, in bytes.
MODEL_BYTES_MAX = 128


class AttemptOutcome(StrEnum):
    """How a vendor call ended, for the ledger."""

    OK = "ok"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptCost:
    """One vendor call, recorded exactly once under `event_id`.

    `unconfirmed_tokens` is the prompt of a request that was sent without any response: vendors do not say what they
    charge for these. They are recorded at no cost and explain a vendor bill above the ledger.
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


def _ledger_name(name: str) -> str:
    """Return a vendor's model name in the form that the ledger accepts, so that no name prevents recording."""
    printable = "".join(c for c in name if c.isprintable())
    return printable.encode(errors="ignore")[:MODEL_BYTES_MAX].decode(errors="ignore").strip()


def cost_of_attempt(
    table: TierTable,
    request: Request,
    candidate: Candidate,
    reported: UsageUpdate,
    *,
    event_id: str,
    tier: Tier,
    now_s: float,
    outcome: AttemptOutcome,
    estimated: bool = False,
    unconfirmed: bool = False,
) -> AttemptCost:
    """Compute the cost of a call to `candidate`, at the price of the model that served it.

    A served model without a price in the table is recorded at the price of the candidate and marked as an estimate.

    Args:
        table: Tier table with prices.
        request: The request.
        candidate: The model that was called.
        reported: Usage and served model as far as known.
        event_id: Idempotency key of the cost event.
        tier: Tier of the decision.
        now_s: End of the call in Unix seconds.
        outcome: How the call ended.
        estimated: True when the usage is an estimate.
        unconfirmed: True when the vendor gave no response at all.
    """
    served = table.candidate_served(candidate, reported.served_model) if reported.served_model else candidate
    price = (served or candidate).price(now_s, reported.usage.prompt_tokens)
    cost = cost_micro_usd(reported.usage, price)
    return AttemptCost(
        event_id=event_id,
        ended_at_s=now_s,
        provider=candidate.provider,
        model=_ledger_name(reported.served_model) or candidate.vendor_model or candidate.alias,
        tier=tier,
        usage=reported.usage,
        cost_micro_usd=cost,
        price_row=price.name,
        outcome=outcome,
        speculative=request.speculative,
        room=request.room,
        turn_id=request.turn_id,
        estimated=estimated or unconfirmed or (served is None and cost > 0),
        unconfirmed_tokens=request.prompt_tokens if unconfirmed else 0,
    )
