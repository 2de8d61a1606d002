"""What embedding costs: data, in millionths of a US dollar for a million tokens."""

from __future__ import annotations

# docs.voyageai.com/docs/pricing as of November 2026. Contracts differ: a setting overrides them.
PRICES_MICRO_USD = {"voyage-4-large": 120_000, "voyage-4": 60_000, "voyage-4-lite": 20_000}


def price_micro_usd(model: str, own_micro_usd: int | None) -> int:
    """The price of a million tokens: one's own, or the list's. Raises ValueError when neither is known."""
    if own_micro_usd is not None:
        return own_micro_usd
    if model not in PRICES_MICRO_USD:
        raise ValueError(f"no price is known for voyage {model}: set its price in the settings")
    return PRICES_MICRO_USD[model]
