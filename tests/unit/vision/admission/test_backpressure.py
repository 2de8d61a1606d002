"""The delay of a stream depends on the number and the share of refused offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vision.admission.backpressure import DELAY_S_MAX, refusal_delay_s


def test_accepted_offers_cause_no_delay():
    assert refusal_delay_s(0, 256) == 0


def test_a_flood_is_delayed_most_and_a_repeated_id_hardly():
    assert refusal_delay_s(256, 256) == DELAY_S_MAX
    assert refusal_delay_s(1, 1) == pytest.approx(0.004)


def test_few_refusals_among_many_offers_cause_little_delay():
    assert refusal_delay_s(4, 64) == pytest.approx(0.001)


@given(st.integers(1, 256), st.integers(1, 256))
def test_the_delay_grows_with_refusals_up_to_its_limit(refused, offered):
    refused = min(refused, offered)
    wait_s = refusal_delay_s(refused, offered)
    assert 0 < wait_s <= DELAY_S_MAX
    assert refusal_delay_s(refused - 1, offered) <= wait_s
