"""Sums of cost events, their period and the prompt-cache share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hocket.chassis.errors import InvalidArgument
from services.ratelimit.ledger.cost_sums import CostSum, Period, cached_input_share, check_period

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_cached_share_is_cached_input_over_all_input_of_language_models():
    def tokens(kind: str, **quantities: int) -> CostSum:
        return CostSum(kind, "anthropic", "m", "", 1, 0, quantities)

    warm = tokens("llm", input_tokens=10, cached_input_tokens=60, cache_write_5m_tokens=20, cache_write_1h_tokens=10)
    cold = tokens("llm", input_tokens=100, output_tokens=900)
    assert cached_input_share([warm]) == 0.6
    assert cached_input_share([warm, cold, tokens("embedding", input_tokens=10**6)]) == 0.3
    assert cached_input_share([]) == 0.0


def test_period_must_not_end_before_it_starts():
    check_period(Period(NOW, NOW, ""))
    with pytest.raises(InvalidArgument) as caught:
        check_period(Period(NOW, NOW - timedelta(seconds=1), ""))
    assert list(caught.value.fields) == ["end_time"]
