"""Prices of embedding models."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.rag.embedding.prices import PRICES_MICRO_USD, price_micro_usd
from services.rag.settings import Settings


def test_model_without_a_price_is_refused():
    with pytest.raises(ValidationError, match="no list price for 'voyage-9'"):
        Settings(voyage_api_key="k", voyage_model="voyage-9")
    assert Settings(voyage_model="voyage-9").voyage_api_key is None


def test_unsupported_dimensions_are_refused():
    with pytest.raises(ValidationError, match="256, 512, 1024, 2048"):
        Settings(voyage_dimensions=1000)


def test_configured_price_overrides_the_list_price():
    own = Settings(voyage_api_key="k", voyage_model="voyage-9", voyage_price_micro_usd_per_million_tokens=5)
    assert (own.voyage_price_micro_usd, Settings(voyage_api_key="k").voyage_price_micro_usd) == (5, 20_000)


def test_listed_model_has_a_price():
    assert [price_micro_usd(model, None) for model in PRICES_MICRO_USD] == list(PRICES_MICRO_USD.values())
