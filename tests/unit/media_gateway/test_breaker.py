"""When a peer that failed is left alone."""

from __future__ import annotations

from services.media_gateway.breaker import Breaker


def test_it_opens_after_failures_in_a_row_and_lets_one_probe_through():
    breaker = Breaker(failures_max=2, open_s=10)
    breaker.failed(0)
    assert breaker.allows(0)
    breaker.failed(1)
    assert not breaker.allows(10.9)
    assert breaker.allows(11)
    assert not breaker.allows(11.1)


def test_a_success_closes_it():
    breaker = Breaker(failures_max=2, open_s=10)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(1)
    assert breaker.allows(1)
