"""Sliding log: no window admits more than the capacity, leases included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.algorithms.sliding_log import SlidingLog, leasable, lease_ttl_us, smallest_lease
from services.ratelimit.limits.rate_limits import RateLimit

W = 60_000_000
EXACT = RateLimit("exact", 10, W)
COARSE = RateLimit("coarse", 5000, W)
T0 = 1_763_800_000_000_000


def spend(log: SlidingLog, limit: RateLimit, cost: int, now_us: int):
    log.prune(limit, now_us)
    verdict = log.judge(limit, cost, now_us)
    return log.spend(limit, cost, now_us) if verdict.fits else verdict


def most_units_in_any_window(spent: list[tuple[int, int]], window_us: int) -> int:
    """Return the largest sum of units with times in [t, t + window), over all t."""
    return max((sum(c for at, c in spent if start <= at < start + window_us) for start, _ in spent), default=0)


steps = st.lists(
    st.tuples(st.one_of(st.sampled_from([0, 1, W - 1, W, W + 1]), st.integers(0, 2 * W)), st.integers(1, 12)),
    max_size=60,
)


@given(steps)
def test_no_window_of_an_exact_log_admits_more_than_the_capacity(steps):
    log, now, spent = SlidingLog(), T0, []
    for delta, cost in steps:
        now += delta
        if spend(log, EXACT, cost, now).fits:
            spent.append((now, cost))
    assert most_units_in_any_window(spent, W) <= EXACT.capacity_units


@given(st.lists(st.tuples(st.integers(0, W // 20), st.integers(1, 900)), max_size=80))
def test_no_window_of_a_coarse_log_admits_more_and_entries_are_bounded(steps):
    log, now, spent = SlidingLog(), T0, []
    for delta, cost in steps:
        now += delta
        if spend(log, COARSE, cost, now).fits:
            spent.append((now, cost))
        assert len(log.entries) <= 130
    assert most_units_in_any_window(spent, W) <= COARSE.capacity_units


@given(
    st.lists(
        st.tuples(
            st.integers(0, W // 10),
            st.integers(1, 12),
            st.booleans(),
            st.floats(0, 1),
            st.floats(0, 1),
        ),
        max_size=60,
    )
)
def test_leased_units_count_whenever_they_are_spent_within_the_lease(steps):
    limit = RateLimit("leased", 40, W)
    log, now, spent = SlidingLog(), T0, []
    for number, (delta, cost, leased, when, returned) in enumerate(steps):
        now += delta
        if not leased:
            if spend(log, limit, cost, now).fits:
                spent.append((now, cost))
            continue
        log.prune(limit, now)
        units, _ = log.grant(limit, str(number), cost, lease_ttl_us(limit), now)
        unspent = int(units * returned)
        log.return_units(str(number), unspent)
        spent.append((now + int(when * lease_ttl_us(limit)), units - unspent))
    assert most_units_in_any_window(spent, W) <= limit.capacity_units


@given(steps, st.integers(1, 10))
def test_wait_is_the_shortest_after_which_the_cost_fits(steps, cost):
    log, now = SlidingLog(), T0
    for delta, spent in steps:
        now += delta
        spend(log, EXACT, spent, now)
    log.prune(EXACT, now)
    wait = log.judge(EXACT, cost, now).wait_us
    if wait == 0:
        return
    log.prune(EXACT, now + wait - 1)
    assert not log.judge(EXACT, cost, now + wait - 1).fits
    log.prune(EXACT, now + wait)
    assert log.judge(EXACT, cost, now + wait).fits


def test_whole_capacity_is_admitted_at_once_and_again_after_the_window():
    log = SlidingLog()
    assert spend(log, EXACT, 10, T0).remaining_units == 0
    denied = spend(log, EXACT, 1, T0 + 1)
    assert (denied.fits, denied.wait_us) == (False, W - 1)
    assert spend(log, EXACT, 10, T0 + W).fits


def test_cost_above_the_capacity_never_fits_and_spends_nothing():
    log = SlidingLog()
    verdict = spend(log, EXACT, 11, T0)
    assert (verdict.fits, verdict.wait_us, verdict.remaining_units) == (False, None, 10)


def test_clock_set_back_delays_units_by_one_window_at_most():
    log = SlidingLog()
    spend(log, EXACT, 10, T0)
    back = T0 - 100 * W
    assert not spend(log, EXACT, 1, back).fits
    assert spend(log, EXACT, 10, back + W + 1_000_001).fits


def test_returned_units_are_free_at_once():
    log = SlidingLog()
    limit = RateLimit("l", 40, W)
    assert log.grant(limit, "a", 100, 1000, T0) == (10, 0)
    assert log.judge(limit, 31, T0).fits is False
    assert log.return_units("a", 10)
    assert log.judge(limit, 40, T0).fits
    assert not log.return_units("b", 1)


def test_spent_bucket_grants_no_lease_and_returns_the_wait():
    log = SlidingLog()
    spend(log, EXACT, 10, T0)
    assert log.grant(EXACT, "a", 1, 1000, T0 + 5) == (0, W - 5)


@pytest.mark.parametrize(("window_us", "ttl_us"), [(W, 1_000_000), (1_000_000, 100_000), (12_000_000, 200_000)])
def test_lease_lifetime_is_a_sixtieth_of_the_window_within_bounds(window_us, ttl_us):
    assert lease_ttl_us(RateLimit("x", 1, window_us)) == ttl_us


def test_smallest_lease_grows_with_the_limit():
    assert (smallest_lease(EXACT), smallest_lease(RateLimit("x", 1_024_000, W))) == (1, 1000)


def test_coarse_entry_expires_late_and_never_early():
    log, just_after_a_grain = SlidingLog(), T0 // COARSE.grain_us * COARSE.grain_us + 1
    assert spend(log, COARSE, 5000, just_after_a_grain).fits
    assert not spend(log, COARSE, 1, just_after_a_grain + W - 1).fits
    assert spend(log, COARSE, 1, just_after_a_grain + W + COARSE.grain_us).fits


@pytest.mark.parametrize(("free", "wanted", "granted"), [(16, 100, 4), (15, 100, 0), (16, 3, 0), (5000, 4, 4)])
def test_lease_is_at_most_a_quarter_of_the_free_units_and_not_below_the_minimum(free, wanted, granted):
    assert smallest_lease(COARSE) == 4
    assert leasable(COARSE, free, wanted) == granted
