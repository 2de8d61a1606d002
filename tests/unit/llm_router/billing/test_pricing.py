"""Costs are computed in integers and rounded once."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.llm_router.billing.pricing import cost_micro_usd
from services.llm_router.catalog.tiers import PriceRow
from services.llm_router.chat.events import Usage

SONNET = PriceRow("s", 0, 2_000_000, 10_000_000, 100_000, 2_500_000, 4_000_000)
TOKENS = st.integers(0, 10_000_000)


def test_each_token_kind_has_its_price():
    usage = Usage(1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000)
    assert cost_micro_usd(usage, SONNET) == 2_000_000 + 100_000 + 2_500_000 + 4_000_000 + 10_000_000


def test_costs_are_rounded_half_up():
    cheap = PriceRow("c", 0, 100_000, 0, 0, 0, 0)
    assert [cost_micro_usd(Usage(n), cheap) for n in (4, 5, 14, 15)] == [0, 1, 1, 2]


def test_thinking_is_not_billed_twice():
    assert cost_micro_usd(Usage(output_tokens=10, thinking_tokens=8), SONNET) == 100


@given(st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS))
def test_the_rounding_error_is_at_most_half_a_micro_usd(usage: Usage):
    exact = Fraction(
        usage.input_tokens * SONNET.input
        + usage.cached_input_tokens * SONNET.cached_input
        + usage.cache_write_5m_tokens * SONNET.cache_write_5m
        + usage.cache_write_1h_tokens * SONNET.cache_write_1h
        + usage.output_tokens * SONNET.output,
        1_000_000,
    )
    assert abs(cost_micro_usd(usage, SONNET) - exact) <= Fraction(1, 2)


def test_the_three_kinds_of_input_add_up_to_the_prompt():
    assert Usage(1, 2, 4, 8, 16).prompt_tokens == 15
