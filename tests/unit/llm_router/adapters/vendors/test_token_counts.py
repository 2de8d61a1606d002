"""A count of tokens is believed where it can be one."""

from __future__ import annotations

import pytest

from services.llm_router.adapters.vendors.token_counts import TOKENS_MAX, is_told, told_tokens


@pytest.mark.parametrize("count", [0, 1, TOKENS_MAX])
def test_a_count_is_taken_as_told(count: int):
    assert is_told(count)
    assert told_tokens(count) == count


@pytest.mark.parametrize("value", [None, -1, TOKENS_MAX + 1, 10**25, 7.0, float("nan"), "7", True, [7], {}])
def test_what_is_no_count_is_nothing(value: object):
    assert not is_told(value)
    assert told_tokens(value) == 0
