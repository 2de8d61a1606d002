"""Costs from price rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.prices import MINUTE_MS, PRICE_ROWS, free, price_of


def test_cost_is_proportional_to_quantity():
    row = price_of("deepgram", "flux-general-en", override_micro_usd=None, per=MINUTE_MS)
    assert (
        row.cost_micro_usd(60_000),
        row.cost_micro_usd(30_000),
        row.name,
    ) == (6_500, 3_250, "flux-general-en@2026-11-01")


def test_an_override_replaces_the_list_price():
    row = price_of("deepgram", "flux-general-en", override_micro_usd=4_000, per=MINUTE_MS)
    assert (row.cost_micro_usd(60_000), row.name) == (4_000, "flux-general-en@settings")


def test_an_unknown_model_without_a_price_is_refused():
    with pytest.raises(ValueError, match="no price is known for deepgram flux-9"):
        price_of("deepgram", "flux-9", override_micro_usd=None, per=MINUTE_MS)


def test_the_embedded_engines_are_free():
    assert free("embedded", "any", per=1).cost_micro_usd(10**9) == 0


@given(st.lists(st.integers(0, 100_000), max_size=30), st.sampled_from(PRICE_ROWS))
def test_differences_of_running_totals_add_up_to_the_whole(quantities, row):
    total = recorded = 0
    for quantity in quantities:
        total += quantity
        recorded += row.cost_micro_usd(total) - recorded
    assert row.cost_micro_usd(sum(quantities)) == recorded
