"""The strict pace: a burst and a rate that together never exceed the capacity."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.gcra import judge, pace
from services.ratelimit.limits import Algorithm, RateLimit

T0 = 1_763_800_000_000_000


def smooth(capacity: int, window_us: int) -> RateLimit:
    return RateLimit("smooth", capacity, window_us, Algorithm.SMOOTH)


@given(
    st.integers(1, 200),
    st.integers(1_000, 10_000_000),
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 20)), max_size=150),
)
def test_never_more_than_the_capacity_in_any_window(capacity, window_us, steps):
    limit, tat, now, spent = smooth(capacity, window_us), None, T0, []
    for part, cost in steps:
        now += int(part * window_us)
        verdict, after = judge(pace(limit), tat, cost, now)
        if verdict.fits:
            tat = after
            spent.append((now, cost))
    worst = max((sum(c for at, c in spent if s <= at < s + window_us) for s, _ in spent), default=0)
    assert worst <= capacity


@given(st.integers(1, 300), st.integers(1_000, 10_000_000))
def test_a_greedy_caller_gets_the_whole_capacity_in_a_window_and_no_more(capacity, window_us):
    if window_us < 10 * capacity:
        return
    limit, tat, now, admitted = smooth(capacity, window_us), None, T0, 0
    while now < T0 + window_us:
        verdict, after = judge(pace(limit), tat, 1, now)
        if verdict.fits:
            tat, admitted = after, admitted + 1
        else:
            now += verdict.wait_us
    # Rounding the interval up to a whole microsecond may cost a share.
    assert capacity * 0.9 - 1 <= admitted <= capacity


@given(st.integers(1, 100), st.integers(1, 100))
def test_the_wait_is_the_shortest_that_suffices(first, second):
    limit = smooth(200, 1_000_000)
    _, tat = judge(pace(limit), None, first, T0)
    wait = judge(pace(limit), tat, second, T0)[0].wait_us
    assert judge(pace(limit), tat, second, T0 + wait)[0].fits
    assert wait == 0 or not judge(pace(limit), tat, second, T0 + wait - 1)[0].fits


def test_a_cost_above_the_burst_never_fits():
    verdict, _ = judge(pace(smooth(100, 1_000_000)), None, 51, T0)
    assert (verdict.fits, verdict.wait_us, verdict.remaining_units) == (False, None, 50)


def test_a_clock_set_back_does_not_lock_the_bucket():
    limit = smooth(100, 1_000_000)
    _, tat = judge(pace(limit), None, 50, T0)
    verdict, _ = judge(pace(limit), tat, 1, T0 - 3_600_000_000)
    assert verdict.wait_us <= pace(limit).interval_us
