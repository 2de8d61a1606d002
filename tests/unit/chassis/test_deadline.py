"""Deadlines: an outgoing call never outlives the one it serves."""

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


def test_without_a_deadline_a_call_gets_what_it_wants(clock):
    deadline.bind(None)
    assert (deadline.remaining(), deadline.timeout_for(5.0)) == (None, 5.0)


def test_a_call_gets_no_more_than_is_left(clock):
    deadline.bind(3.0)
    clock[0] += 1.0
    assert (deadline.remaining(), deadline.timeout_for(5.0), deadline.timeout_for(0.5)) == (2.0, 2.0, 0.5)


def test_a_call_that_has_no_time_left_is_not_made(clock):
    deadline.bind(1.0)
    clock[0] += 1.0
    with pytest.raises(DeadlineExceeded):
        deadline.timeout_for(5.0)
