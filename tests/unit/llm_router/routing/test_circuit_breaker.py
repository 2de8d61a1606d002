"""A failing model is paused for growing times and tried with one probe."""

from __future__ import annotations

from services.llm_router.routing.circuit_breaker import (
    FAILURES_TO_OPEN,
    PAUSE_MAX_S,
    PAUSE_MIN_S,
    PROBE_MAX_S,
    BreakerState,
    ModelCircuitBreaker,
)


def opened(now_s: float = 100.0) -> ModelCircuitBreaker:
    breaker = ModelCircuitBreaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker = breaker.after_failure(now_s)
    return breaker


def test_the_breaker_opens_at_the_fifth_consecutive_failure():
    breaker = ModelCircuitBreaker()
    states = []
    for _ in range(FAILURES_TO_OPEN):
        breaker = breaker.after_failure(100.0)
        states.append(breaker.state(100.0))
    assert states == [BreakerState.CLOSED] * 4 + [BreakerState.OPEN]


def test_a_success_resets_the_failure_count():
    breaker = ModelCircuitBreaker().after_failure(1).after_failure(1).after_success(2)
    assert breaker.failures == 0


def test_an_open_breaker_allows_one_probe_after_its_pause():
    breaker = opened()
    assert not breaker.allows(100.0 + PAUSE_MIN_S - 0.1)
    later = 100.0 + PAUSE_MIN_S
    assert breaker.state(later) is BreakerState.HALF_OPEN
    assert breaker.allows(later)
    probing = breaker.with_probe(later)
    assert not probing.allows(later)
    assert probing.allows(later + PROBE_MAX_S)


def test_a_failed_probe_doubles_the_pause_up_to_its_maximum_and_a_successful_one_closes():
    breaker, now = opened(), 100.0
    pauses = []
    for _ in range(8):
        now = breaker.open_until_s
        breaker = breaker.with_probe(now).after_failure(now)
        pauses.append(breaker.pause_s)
    assert pauses[:3] == [4.0, 8.0, 16.0]
    assert pauses[-1] == PAUSE_MAX_S
    assert breaker.after_success(now).state(now) is BreakerState.CLOSED


def test_retry_after_lengthens_the_pause_and_a_rejected_key_opens_at_once():
    assert opened().with_probe(102.0).after_failure(102.0, 30.0).open_until_s == 132.0
    assert ModelCircuitBreaker().after_failure(100.0, at_once=True).state(100.0) is BreakerState.OPEN


def test_failures_while_open_do_not_prolong_the_pause():
    breaker = opened()
    assert breaker.after_failure(100.5).open_until_s == breaker.open_until_s
