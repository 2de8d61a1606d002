"""States and probes of the circuit breaker."""

from __future__ import annotations

import pytest

from hocket.chassis.circuit_breaker import CircuitBreaker, CircuitState


def opened(*, single_probe: bool = True) -> CircuitBreaker:
    """A breaker with open_s=1 whose third and last failure is at 0.2 s."""
    breaker = CircuitBreaker(failures_max=3, open_s=1.0, single_probe=single_probe)
    for now_s in (0.0, 0.1, 0.2):
        assert breaker.allows(now_s)
        breaker.record_failure(now_s)
    return breaker


def test_consecutive_failures_open_the_breaker_until_open_s_after_the_last():
    breaker = opened()
    assert breaker.state(1.1) is CircuitState.OPEN
    assert not breaker.allows(1.1)
    assert breaker.state(1.2) is CircuitState.HALF_OPEN
    assert breaker.allows(1.2)


@pytest.mark.parametrize("failures", [1, 2])
def test_fewer_failures_leave_the_breaker_closed(failures):
    breaker = CircuitBreaker(failures_max=3, open_s=1.0)
    for _ in range(failures):
        breaker.record_failure(0)
    assert breaker.state(0) is CircuitState.CLOSED
    assert breaker.allows(0)


def test_a_success_between_failures_restarts_the_count():
    breaker = CircuitBreaker(failures_max=2, open_s=1.0)
    for _ in range(5):
        breaker.record_failure(0)
        breaker.record_success()
    assert breaker.allows(0)


def test_a_half_open_breaker_admits_one_probe_per_open_s():
    breaker = opened()
    assert breaker.allows(1.2)
    assert not breaker.allows(1.3)
    # The probe was cancelled: neither outcome was recorded.
    assert breaker.allows(2.2)


def test_a_successful_probe_closes_and_a_failed_one_opens_again():
    breaker = opened()
    assert breaker.allows(1.2)
    breaker.record_failure(1.5)
    assert breaker.state(2.4) is CircuitState.OPEN
    assert breaker.allows(2.5)
    breaker.record_success()
    assert breaker.state(2.5) is CircuitState.CLOSED
    assert breaker.allows(2.5)
    assert breaker.allows(2.5)


def test_without_single_probe_every_call_passes_after_open_s_until_one_fails():
    breaker = opened(single_probe=False)
    assert not breaker.allows(1.1)
    assert breaker.allows(1.2)
    assert breaker.allows(1.2)
    breaker.record_failure(1.3)
    assert not breaker.allows(1.4)
