"""Where a prompt's cacheable prefixes end, and for how long they are worth keeping."""

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
# Weight of the newest gap in the running mean.
GAP_WEIGHT = 0.3


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
    fixed = request.prefix_tokens
    # What was found for this question (passages, frames) is not sent again with the next one: a prefix that holds it
    # would be written and never read.
    steady = len(turns)
    if turns and any(isinstance(p, Passage | ImagePart) for p in turns[-1][1]):
        steady -= 1
    tokens = fixed + sum(tokens_of_part(p) for _, parts in turns[:steady] for p in parts)
    turn = steady - 1 if steady > 0 and tokens >= candidate.cache_prefix_tokens_min else None
    return CachePlan(fixed >= candidate.cache_prefix_tokens_min, turn, ttl_for(gap_s))


def can_prewarm(request: Request, candidate: Candidate) -> bool:
    """Whether a call of its own would write the request's instructions and tools into the cache of `candidate`."""
    return candidate.cache == "explicit" and request.prefix_tokens >= candidate.cache_prefix_tokens_min


@dataclass(slots=True)
class _Seen:
    """When a prefix was last asked for, by which request, and how far apart such requests usually are, in seconds.

    The request is held weakly: it may carry pictures, and its place in memory is soon another one's.
    """

    at_s: float
    request: weakref.ref[Request]
    gap_s: float | None = None


@dataclass(slots=True)
class PrefixGaps:
    """How far apart requests with the same instructions and tools come, in seconds."""

    _seen: OrderedDict[int, _Seen] = field(default_factory=OrderedDict[int, _Seen])

    def observe(self, request: Request, owner: str, now_s: float) -> float | None:
        """The usual gap before this request, which is counted; None for a prefix seen for the first time.

        `owner` names whose cache it is: a model, and where tenants have caches of their own, the tenant. Further
        attempts at one request are no further requests.
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
    """5 minutes where the next request comes within them (each read renews it), 1 hour where it comes within that."""
    return "1h" if gap_s is not None and TTL_5M_S < gap_s < TTL_1H_S else "5m"


# How often Gemini finds a prefix again by itself (measured in public reports between 0.5 and 0.8).
IMPLICIT_HIT = 0.7


def explicit_cache_pays(request: Request, candidate: Candidate, gap_s: float, now_s: float) -> bool:
    """Whether a cache of the instructions and tools saves more in five minutes than it costs.

    It costs one reading of the prefix at the full price and its storage; each request that comes `gap_s` after the
    last then saves what the vendor's own caching would have missed.
    """
    tokens = request.prefix_tokens
    if candidate.cache != "implicit" or tokens < candidate.cache_prefix_tokens_min:
        return False
    price = candidate.price(now_s, tokens)
    requests = TTL_5M_S / max(gap_s, 0.1)
    saved = requests * (1 - IMPLICIT_HIT) * (price.input - price.cached_input)
    return saved > price.input + storage_micro_usd_per_mtok(price)


def storage_micro_usd_per_mtok(price: PriceRow) -> float:
    """What a cache costs to keep for its five minutes, for a million tokens."""
    return price.storage_per_hour * TTL_5M_S / 3600
