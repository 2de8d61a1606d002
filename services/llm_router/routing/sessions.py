"""The state of a conversation: its tier, its model, and its warm prompt caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.llm_router.chat.events import Usage
from services.llm_router.chat.request import Tier

# Easier turns that stay in the higher tier: a follow-up is short and still about the hard subject.
TURNS_HELD = 2
CACHE_TTL_S = 300.0
CACHE_TTL_LONG_S = 3600.0
SESSION_TTL_S = 3600.0


@dataclass(frozen=True, slots=True)
class WarmCache:
    """A vendor's cache of the conversation's prefix: tokens, expiry (Unix seconds) and lifetime in seconds.

    Each read renews the lifetime.
    """

    tokens: int
    until_s: float
    ttl_s: float = CACHE_TTL_S


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one conversation.

    `easier_turns` counts turns since the mix asked for a cheaper tier; `seen_s` is Unix seconds.
    """

    tier: Tier
    model: str
    easier_turns: int = 0
    warm: Mapping[str, WarmCache] = field(default_factory=dict[str, WarmCache])
    seen_s: float = 0.0

    def warm_tokens(self, alias: str, now_s: float) -> int:
        """Return the tokens that the cache of `alias` holds at `now_s`."""
        warm = self.warm.get(alias)
        return warm.tokens if warm is not None and warm.until_s > now_s else 0

    def warm_caches(self, now_s: float) -> Mapping[str, int]:
        """Return the tokens in the cache of each model at `now_s`, by alias."""
        return {alias: warm.tokens for alias, warm in self.warm.items() if warm.until_s > now_s}


def holds_tier(session: Session, mix_tier: Tier, now_s: float) -> bool:
    """True while the conversation stays in its tier although the mix asks for a cheaper one."""
    fresh = now_s - session.seen_s < SESSION_TTL_S
    return fresh and mix_tier < session.tier and session.easier_turns < TURNS_HELD


def with_warm_cache(session: Session | None, model: str, cached_tokens: int, now_s: float) -> Session:
    """Return the session after the cache of `model` was prewarmed; tier and model stay."""
    before = session or Session(Tier.SIMPLE, "")
    return replace(before, warm={**before.warm, model: WarmCache(cached_tokens, now_s + CACHE_TTL_S)}, seen_s=now_s)


def after_turn(
    session: Session | None, *, tier: Tier, mix_tier: Tier, model: str, usage: Usage, now_s: float
) -> Session:
    """Return the session after a turn that `model` answered; its cache holds the tokens that `usage` read or wrote."""
    warm = dict(session.warm) if session else {}
    warm = {alias: w for alias, w in warm.items() if w.until_s > now_s}
    cached_tokens = usage.cached_input_tokens + usage.cache_write_tokens
    if cached_tokens:
        ttl_s = _ttl_s(usage, warm.get(model))
        warm[model] = WarmCache(cached_tokens, now_s + ttl_s, ttl_s)
    easier = session.easier_turns + 1 if session and session.tier is tier and mix_tier < tier else 0
    return Session(tier=tier, model=model, easier_turns=easier, warm=warm, seen_s=now_s)


def _ttl_s(usage: Usage, before: WarmCache | None) -> float:
    """Return the lifetime of the cache in seconds: of this write, or the previous one where the cache was only read."""
    if usage.cache_write_tokens:
        return CACHE_TTL_LONG_S if usage.cache_write_1h_tokens else CACHE_TTL_S
    return before.ttl_s if before is not None else CACHE_TTL_S
