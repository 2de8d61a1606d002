"""What happens while a request is served, in the order in which its caller is told."""

from __future__ import annotations

from dataclasses import dataclass

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import EndReason, ProviderStateEvent, TextDelta, ToolCallEvent, Usage
from services.llm_router.routing.decision import Decision


@dataclass(frozen=True, slots=True)
class Routed:
    """A model begins to answer: the decision, which candidate, which attempt (from 1)."""

    decision: Decision
    candidate: Candidate
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over. Costs are in micro-USD for all attempts; usage is that of the one that answered."""

    reason: EndReason
    usage: Usage
    cost_micro_usd: int
    served_model: str
    price_row: str
    first_token_s: float
    cost_event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """Whose cache was filled, how many tokens it holds (0: nothing was to be done), and micro-USD paid for it."""

    candidate: Candidate
    cached_tokens: int
    cost_micro_usd: int


FlowEvent = Routed | TextDelta | ToolCallEvent | ProviderStateEvent | Finished
