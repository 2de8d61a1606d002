"""Restart backoff."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.processes.process_keeper import Backoff


def test_delay_doubles_up_to_the_maximum():
    backoff = Backoff(initial_s=0.2, max_s=5)
    assert [backoff.delay_s(n) for n in (1, 2, 3, 4, 5, 6, 100)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0.01, 100))
def test_delay_never_exceeds_the_maximum_and_never_shrinks(exits, initial_s, max_s):
    backoff = Backoff(initial_s=initial_s, max_s=max_s)
    assert backoff.delay_s(exits) <= backoff.delay_s(exits + 1) <= max_s
