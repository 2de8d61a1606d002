"""Prices of embedding models, in micro-USD per million tokens."""

from __future__ import annotations

# docs.voyageai.com/docs/pricing, November 2026. A setting overrides them for contracts with other prices.
PRICES_MICRO_USD = {"voyage-4-large": 120_000, "voyage-4": 60_000, "voyage-4-lite": 20_000}


def price_micro_usd(model: str, configured_micro_usd: int | None) -> int:
    """Return the price of a million tokens.

    Args:
        model: Voyage model, for instance "voyage-4-lite".
        configured_micro_usd: Price from the settings; None for the list price.

    Raises:
        ValueError: The model has no list price and none is configured.
    """
    if configured_micro_usd is not None:
        return configured_micro_usd
    if model not in PRICES_MICRO_USD:
        raise ValueError(
            f"no list price for {model!r}; set HOCKET_RAG_VOYAGE_PRICE_MICRO_USD_PER_MILLION_TOKENS"
            f" or use one of {', '.join(PRICES_MICRO_USD)}"
        )
    return PRICES_MICRO_USD[model]
