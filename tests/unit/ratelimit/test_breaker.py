"""When the shared store is worth asking."""

from __future__ import annotations

from services.ratelimit.breaker import Breaker


def test_it_opens_after_failures_in_a_row_and_lets_one_caller_try_a_second_later():
    breaker = Breaker(failures_max=3, open_s=1.0)
    for now in (0.0, 0.1, 0.2):
        assert breaker.allows(now)
        breaker.failed(now)
    assert not breaker.allows(1.1)
    assert breaker.allows(1.2)
    assert not breaker.allows(1.3)
    breaker.succeeded()
    assert breaker.allows(1.4)


def test_a_success_between_failures_keeps_it_closed():
    breaker = Breaker(failures_max=2)
    for _ in range(5):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.allows(0)
