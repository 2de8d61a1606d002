"""Where a prompt's cacheable prefixes end, and for how long they are worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.llm_router.conversation import Part, Passage, Picture, Request, Role, prefix_tokens
from services.llm_router.conversation import part_tokens as tokens_of_part
from services.llm_router.tiers import Candidate

Ttl = Literal["5m", "1h"]
TTL_5M_S = 300.0
TTL_1H_S = 3600.0


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Breakpoints of one prompt: after the instructions (which follow the tools), and after the turn of this index.

    `turn` is None where no turn ends a prefix that is long enough and will stand the same in the next request.
    """

    system: bool = False
    turn: int | None = None
    ttl: Ttl = "5m"


def plan_cache(
    request: Request, turns: Sequence[tuple[Role, Sequence[Part]]], candidate: Candidate, gap_s: float | None = None
) -> CachePlan:
    """The breakpoints for `candidate`; none where the prefix is shorter than what the vendor caches.

    Args:
        request: The prompt.
        turns: Its turns as the vendor will see them.
        candidate: The model, with its shortest cacheable prefix.
        gap_s: Usual seconds between requests that share this prefix; None when unknown.
    """
    if candidate.cache != "explicit":
        return CachePlan()
    fixed = prefix_tokens(request)
    # What was found for this question (passages, frames) is not sent again with the next one: a prefix that holds it
    # would be written and never read.
    steady = len(turns)
    if turns and any(isinstance(p, Passage | Picture) for p in turns[-1][1]):
        steady -= 1
    tokens = fixed + sum(tokens_of_part(p) for _, parts in turns[:steady] for p in parts)
    turn = steady - 1 if steady > 0 and tokens >= candidate.cache_prefix_tokens_min else None
    return CachePlan(fixed >= candidate.cache_prefix_tokens_min, turn, ttl_for(gap_s))


def ttl_for(gap_s: float | None) -> Ttl:
    """5 minutes where the next request comes within them (each read renews it), 1 hour where it comes within that."""
    return "1h" if gap_s is not None and TTL_5M_S < gap_s < TTL_1H_S else "5m"
