"""Where the cacheable prefixes of a prompt end, how long to keep them, and when an explicit cache pays."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.chat.request import ImagePart, Part, Passage, Request, Role
from services.llm_router.chat.request import part_tokens as tokens_of_part

Ttl = Literal["5m", "1h"]
TTL_5M_S = 300.0
TTL_1H_S = 3600.0
PREFIXES_MAX = 10_000
# Weight of the newest gap in the moving average.
GAP_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Cache breakpoints of one prompt: after the instructions (and tools), and after turn number `turn`.

    `turn` is None where no turn ends a prefix that is long enough and unchanged in the next request.
    """

    system: bool = False
    turn: int | None = None
    ttl: Ttl = "5m"


def plan_cache(
    request: Request, turns: Sequence[tuple[Role, Sequence[Part]]], candidate: Candidate, gap_s: float | None = None
) -> CachePlan:
    """Place the breakpoints for `candidate`; none where the prefix is shorter than the vendor's minimum.

    Args:
        request: The prompt.
        turns: Its turns as sent to the vendor.
        candidate: The model, with its minimum cacheable prefix.
        gap_s: Usual seconds between requests with this prefix; None when unknown.
    """
    if candidate.cache != "explicit":
        return CachePlan()
    fixed = request.prefix_tokens
    # Passages and images of this question are not sent again: a prefix that holds them would be written and never read.
    steady = len(turns)
    if turns and any(isinstance(p, Passage | ImagePart) for p in turns[-1][1]):
        steady -= 1
    tokens = fixed + sum(tokens_of_part(p) for _, parts in turns[:steady] for p in parts)
    turn = steady - 1 if steady > 0 and tokens >= candidate.cache_prefix_tokens_min else None
    return CachePlan(fixed >= candidate.cache_prefix_tokens_min, turn, ttl_for(gap_s))


def can_prewarm(request: Request, candidate: Candidate) -> bool:
    """True when a call would write the instructions and tools of the request into the cache of `candidate`."""
    return candidate.cache == "explicit" and request.prefix_tokens >= candidate.cache_prefix_tokens_min


@dataclass(slots=True)
class _Seen:
    """Last request with a prefix, and the usual gap between such requests in seconds.

    The request is held by a weak reference: it may hold images, and its id() is reused after deletion.
    """

    at_s: float
    request: weakref.ref[Request]
    gap_s: float | None = None


@dataclass(slots=True)
class PrefixGaps:
    """Usual seconds between requests with the same instructions and tools."""

    _seen: OrderedDict[int, _Seen] = field(default_factory=OrderedDict[int, _Seen])

    def observe(self, request: Request, owner: str, now_s: float) -> float | None:
        """Count this request and return the usual gap before it; None for a new prefix.

        Args:
            request: Further attempts at the same request are not counted.
            owner: Owner of the cache: a model, or tenant and model where caches are per tenant.
            now_s: Unix seconds.
        """
        key = hash((owner, request.system, tuple((t.name, t.description) for t in request.tools)))
        last = self._seen.pop(key, None)
        if last is None:
            last = _Seen(now_s, weakref.ref(request))
        elif last.request() is not request:
            gap = now_s - last.at_s
            usual = gap if last.gap_s is None else last.gap_s + GAP_WEIGHT * (gap - last.gap_s)
            last = _Seen(now_s, weakref.ref(request), usual)
        self._seen[key] = last
        if len(self._seen) > PREFIXES_MAX:
            self._seen.popitem(last=False)
        return last.gap_s


def ttl_for(gap_s: float | None) -> Ttl:
    """Return "1h" where requests come between 5 minutes and an hour apart, else "5m" (each read renews it)."""
    return "1h" if gap_s is not None and TTL_5M_S < gap_s < TTL_1H_S else "5m"


# Hit rate of Gemini's implicit caching; public measurements range from 0.5 to 0.8.
IMPLICIT_HIT = 0.7


def explicit_cache_pays(request: Request, candidate: Candidate, gap_s: float, now_s: float) -> bool:
    """True when an explicit cache of instructions and tools saves more in five minutes than it costs.

    The cost is one read of the prefix at full price plus storage. Each request, `gap_s` after the last, saves what
    implicit caching would have missed.
    """
    tokens = request.prefix_tokens
    if candidate.cache != "implicit" or tokens < candidate.cache_prefix_tokens_min:
        return False
    price = candidate.price(now_s, tokens)
    requests = TTL_5M_S / max(gap_s, 0.1)
    saved = requests * (1 - IMPLICIT_HIT) * (price.input - price.cached_input)
    return saved > price.input + storage_micro_usd_per_mtok(price)


def storage_micro_usd_per_mtok(price: PriceRow) -> float:
    """Return the storage cost of a five-minute cache, in micro-USD for a million tokens."""
    return price.storage_per_hour * TTL_5M_S / 3600
