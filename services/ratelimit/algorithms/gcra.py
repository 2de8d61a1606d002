"""Decides by the generic cell rate algorithm (GCRA): one number per bucket, no window admits more than the capacity.

GCRA (ITU-T I.371) keeps the theoretical arrival time (TAT) of the next unit. With a burst of B units and an emission
interval of T it admits at most n units in a half-open window W, where n*T <= B*T + (W - 1). The usual choice, B = L and
T = W/L, therefore admits nearly 2L. Here B is L/2 rounded up, and T is the smallest integer that excludes n = L + 1.

adapters/decide.lua is the same algorithm inside Redis; one test suite runs against both.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.ratelimit.limits.rate_limits import RateLimit, Verdict


@dataclass(frozen=True, slots=True)
class EmissionRate:
    """Parameters of GCRA: `burst_units` at once, then one unit per `interval_us` microseconds."""

    burst_units: int
    interval_us: int

    @property
    def tolerance_us(self) -> int:
        """How far the TAT may be ahead of now, in microseconds."""
        return self.burst_units * self.interval_us


def emission_rate(limit: RateLimit) -> EmissionRate:
    """Return the fastest rate that admits no more than the limit's capacity in any window."""
    burst = limit.burst_units
    return EmissionRate(burst, (limit.window_us - 1) // (limit.capacity_units + 1 - burst) + 1)


def judge(rate: EmissionRate, tat_us: int | None, cost_units: int, now_us: int) -> tuple[Verdict, int]:
    """Decide whether a cost fits now.

    Args:
        rate: Parameters of the limit.
        tat_us: The bucket's TAT; None for a new bucket.
        cost_units: Units to spend, 1 or more.
        now_us: Current time on the clock of the TAT.

    Returns:
        The verdict, whose `remaining_units` is before the spend, and the TAT after it.
    """
    # At most one burst ahead of now: otherwise a clock that is set back would lock the bucket for that long.
    base_us = min(max(now_us if tat_us is None else tat_us, now_us), now_us + rate.tolerance_us)
    remaining = (rate.tolerance_us - (base_us - now_us)) // rate.interval_us
    if cost_units > rate.burst_units:
        return Verdict(fits=False, remaining_units=remaining, wait_us=None), base_us
    spent_us = base_us + cost_units * rate.interval_us
    wait_us = max(0, spent_us - now_us - rate.tolerance_us)
    return Verdict(fits=wait_us == 0, remaining_units=remaining, wait_us=wait_us), spent_us
