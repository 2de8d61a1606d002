"""Hedges start after the model's 95th percentile, and rarely."""

from __future__ import annotations

from services.llm_router.attempts.hedge_delay import HEDGE_DELAY_MIN_S, SAMPLES_MIN, FirstTokenLatencies


def known(seconds: float, count: int = 100) -> FirstTokenLatencies:
    times = FirstTokenLatencies()
    for _ in range(count):
        times.record("a", seconds)
    return times


def test_no_hedge_before_enough_latencies_are_known():
    assert known(1.0, SAMPLES_MIN - 1).hedge_delay_s("a") is None
    assert known(1.0).hedge_delay_s("b") is None


def test_the_hedge_delay_is_the_95th_percentile_with_a_minimum():
    times = known(0.1, 90)
    for _ in range(10):
        times.record("a", 2.0)
    assert times.hedge_delay_s("a") == 2.0
    assert known(0.01).hedge_delay_s("a") == HEDGE_DELAY_MIN_S


def test_hedges_stay_below_one_in_twenty():
    times = known(1.0, 20)
    sent = 0
    for _ in range(1000):
        if times.hedge_delay_s("a") is not None:
            times.spend_hedge()
            sent += 1
        times.record("a", 1.0)
    assert sent <= 1000 * 0.05 + 5
