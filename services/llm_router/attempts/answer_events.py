"""Events of one request, in the order in which the caller gets them."""

from __future__ import annotations

from dataclasses import dataclass

from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.events import EndReason, ProviderStateEvent, TextDelta, ToolCallEvent, Usage
from services.llm_router.routing.decision import Decision


@dataclass(frozen=True, slots=True)
class Routed:
    """A model starts to answer: the decision, the candidate, and the number of the attempt (from 1)."""

    decision: Decision
    candidate: Candidate
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer. Costs are micro-USD of all attempts; `usage` is that of the answering attempt."""

    reason: EndReason
    usage: Usage
    cost_micro_usd: int
    served_model: str
    price_row: str
    first_token_s: float
    cost_event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """Result of a prewarm: the model, tokens in its cache (0: nothing to do), and the cost in micro-USD."""

    candidate: Candidate
    cached_tokens: int
    cost_micro_usd: int


FlowEvent = Routed | TextDelta | ToolCallEvent | ProviderStateEvent | Finished
