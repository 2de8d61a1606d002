"""A hedge is worth it after the model's own 95th percentile, once that is known, and rarely."""

from __future__ import annotations

from services.llm_router.attempts.hedge_delay import HEDGE_AFTER_MIN_S, SAMPLES_MIN, FirstTokens


def known(seconds: float, count: int = 100) -> FirstTokens:
    times = FirstTokens()
    for _ in range(count):
        times.seen("a", seconds)
    return times


def test_nothing_is_hedged_before_enough_is_known():
    assert known(1.0, SAMPLES_MIN - 1).hedge_after("a") is None
    assert known(1.0).hedge_after("b") is None


def test_the_wait_is_the_95th_percentile_and_never_hasty():
    times = known(0.1, 90)
    for _ in range(10):
        times.seen("a", 2.0)
    assert times.hedge_after("a") == 2.0
    assert known(0.01).hedge_after("a") == HEDGE_AFTER_MIN_S


def test_hedges_stay_below_one_in_twenty():
    times = known(1.0, 20)
    sent = 0
    for _ in range(1000):
        if times.hedge_after("a") is not None:
            times.hedged()
            sent += 1
        times.seen("a", 1.0)
    assert sent <= 1000 * 0.05 + 5
