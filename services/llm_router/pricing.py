"""What an attempt costs: tokens times a price row, rounded once, in micro-USD."""

from __future__ import annotations

from services.llm_router.events import Usage
from services.llm_router.tiers import PriceRow

_TOKENS_PER_PRICE = 1_000_000


def cost_micro_usd(usage: Usage, price: PriceRow) -> int:
    """Price of `usage`, exact in whole numbers and rounded half up once, as vendors round a line of a bill."""
    exact = (
        usage.input_tokens * price.input
        + usage.cached_input_tokens * price.cached_input
        + usage.cache_write_5m_tokens * price.cache_write_5m
        + usage.cache_write_1h_tokens * price.cache_write_1h
        + usage.output_tokens * price.output
    )
    return (exact + _TOKENS_PER_PRICE // 2) // _TOKENS_PER_PRICE
