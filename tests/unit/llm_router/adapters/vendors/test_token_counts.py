"""Implausible token counts are ignored."""

from __future__ import annotations

import pytest

from services.llm_router.adapters.vendors.token_counts import TOKENS_MAX, is_token_count, valid_token_count  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [0, 1, TOKENS_MAX])
def test_a_plausible_count_is_kept(count: int):
    assert is_token_count(count)
    assert valid_token_count(count) == count


@pytest.mark.parametrize("value", [None, -1, TOKENS_MAX + 1, 10**25, 7.0, float("nan"), "7", True, [7], {}])
def test_an_implausible_count_is_dropped(value: object):
    assert not is_token_count(value)
    assert valid_token_count(value) == 0
