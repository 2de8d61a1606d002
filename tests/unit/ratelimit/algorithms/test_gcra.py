"""GCRA: burst and emission interval together never exceed the capacity in a window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.algorithms.gcra import emission_rate, judge
from services.ratelimit.limits.rate_limits import Algorithm, RateLimit

T0 = 1_763_800_000_000_000


def smooth(capacity: int, window_us: int) -> RateLimit:
    return RateLimit("smooth", capacity, window_us, Algorithm.SMOOTH)


@given(
    st.integers(1, 200),
    st.integers(1_000, 10_000_000),
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 20)), max_size=150),
)
def test_no_window_admits_more_than_the_capacity(capacity, window_us, steps):
    limit, tat, now, spent = smooth(capacity, window_us), None, T0, []
    for part, cost in steps:
        now += int(part * window_us)
        verdict, after = judge(emission_rate(limit), tat, cost, now)
        if verdict.fits:
            tat = after
            spent.append((now, cost))
    worst = max((sum(c for at, c in spent if s <= at < s + window_us) for s, _ in spent), default=0)
    assert worst <= capacity


@given(st.integers(1, 300), st.integers(1_000, 10_000_000))
def test_steady_demand_is_admitted_up_to_the_capacity(capacity, window_us):
    if window_us < 10 * capacity:
        return
    limit, tat, now, admitted = smooth(capacity, window_us), None, T0, 0
    while now < T0 + window_us:
        verdict, after = judge(emission_rate(limit), tat, 1, now)
        if verdict.fits:
            tat, admitted = after, admitted + 1
        else:
            now += verdict.wait_us
    # The interval is rounded up to a whole microsecond, which costs up to a tenth here.
    assert capacity * 0.9 - 1 <= admitted <= capacity


@given(st.integers(1, 100), st.integers(1, 100))
def test_wait_is_the_shortest_after_which_the_cost_fits(first, second):
    limit = smooth(200, 1_000_000)
    _, tat = judge(emission_rate(limit), None, first, T0)
    wait = judge(emission_rate(limit), tat, second, T0)[0].wait_us
    assert judge(emission_rate(limit), tat, second, T0 + wait)[0].fits
    assert wait == 0 or not judge(emission_rate(limit), tat, second, T0 + wait - 1)[0].fits


def test_cost_above_the_burst_never_fits():
    verdict, _ = judge(emission_rate(smooth(100, 1_000_000)), None, 51, T0)
    assert (verdict.fits, verdict.wait_us, verdict.remaining_units) == (False, None, 50)


def test_clock_set_back_does_not_lock_the_bucket():
    limit = smooth(100, 1_000_000)
    _, tat = judge(emission_rate(limit), None, 50, T0)
    verdict, _ = judge(emission_rate(limit), tat, 1, T0 - 3_600_000_000)
    assert verdict.wait_us <= emission_rate(limit).interval_us
