"""Timeouts of outgoing calls within the deadline of the running RPC."""

from __future__ import annotations

import pytest

from hocket.chassis import deadline
from hocket.chassis.errors import DeadlineExceeded


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("hocket.chassis.deadline.time.monotonic", lambda: now[0])
    yield now
    deadline.bind(None)


def test_without_a_deadline_the_wanted_timeout_is_used(clock):
    deadline.bind(None)
    assert (deadline.remaining(), deadline.timeout_for(5.0)) == (None, 5.0)


def test_the_timeout_is_at_most_the_rest_of_the_deadline(clock):
    deadline.bind(3.0)
    clock[0] += 1.0
    assert (deadline.remaining(), deadline.timeout_for(5.0), deadline.timeout_for(0.5)) == (2.0, 2.0, 0.5)


def test_a_passed_deadline_raises_deadline_exceeded(clock):
    deadline.bind(1.0)
    clock[0] += 1.0
    with pytest.raises(DeadlineExceeded):
        deadline.timeout_for(5.0)
