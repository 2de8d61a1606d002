"""How long a process that ends again and again waits for its next start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.processes.process_keeper import Backoff


def test_the_wait_doubles_up_to_its_limit():
    backoff = Backoff(first_s=0.2, last_s=5)
    assert [backoff.delay_s(n) for n in (1, 2, 3, 4, 5, 6, 100)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0.01, 100))
def test_the_wait_never_passes_its_limit_and_never_shrinks(ends, first_s, last_s):
    backoff = Backoff(first_s=first_s, last_s=last_s)
    assert backoff.delay_s(ends) <= backoff.delay_s(ends + 1) <= last_s
