"""No model is used whose price is unknown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.rag.prices import PRICES_MICRO_USD, price_micro_usd
from services.rag.settings import Settings


def test_a_model_without_a_price_is_refused_lest_its_costs_are_booked_as_nothing():
    with pytest.raises(ValidationError, match="no price is known for voyage voyage-9"):
        Settings(voyage_api_key="k", voyage_model="voyage-9")
    assert Settings(voyage_model="voyage-9").voyage_api_key is None


def test_a_size_that_the_vendor_does_not_make_is_refused_before_it_is_asked_for():
    with pytest.raises(ValidationError, match="256, 512, 1024, 2048"):
        Settings(voyage_dimensions=1000)


def test_a_price_of_ones_own_wins_over_the_list():
    own = Settings(voyage_api_key="k", voyage_model="voyage-9", voyage_price_micro_usd_per_million_tokens=5)
    assert (own.voyage_price_micro_usd, Settings(voyage_api_key="k").voyage_price_micro_usd) == (5, 20_000)


def test_a_listed_model_has_a_price():
    assert [price_micro_usd(model, None) for model in PRICES_MICRO_USD] == list(PRICES_MICRO_USD.values())
