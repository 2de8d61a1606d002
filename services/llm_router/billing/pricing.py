"""Token prices: tokens times a price row in micro-USD, rounded once."""

from __future__ import annotations

from services.llm_router.catalog.tiers import PriceRow
from services.llm_router.chat.events import Usage

_TOKENS_PER_PRICE = 1_000_000
_SECONDS_PER_HOUR = 3600


def cost_micro_usd(usage: Usage, price: PriceRow) -> int:
    """Return the price of `usage`, computed in integers and rounded half up once, as vendors round a bill line."""
    exact = (
        usage.input_tokens * price.input
        + usage.cached_input_tokens * price.cached_input
        + usage.cache_write_5m_tokens * price.cache_write_5m
        + usage.cache_write_1h_tokens * price.cache_write_1h
        + usage.output_tokens * price.output
    )
    return (exact + _TOKENS_PER_PRICE // 2) // _TOKENS_PER_PRICE


def cache_cost_micro_usd(tokens: int, ttl_s: int, price: PriceRow) -> int:
    """Return the price of an explicit cache: one read of its tokens and `ttl_s` seconds of storage."""
    exact = tokens * (price.input * _SECONDS_PER_HOUR + price.storage_per_hour * ttl_s)
    per_micro_usd = _TOKENS_PER_PRICE * _SECONDS_PER_HOUR
    return (exact + per_micro_usd // 2) // per_micro_usd
