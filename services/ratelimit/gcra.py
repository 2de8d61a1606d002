"""Decides by the strict generic cell rate algorithm: one number a bucket, never more than the capacity in any window.

GCRA (ITU-T I.371) keeps the theoretical arrival time (TAT) of the next unit. With a burst of B units and an interval
of T between units it admits at most n units in a half-open window W where n*T <= B*T + (W - 1). The usual choice, B = L
and T = W/L, therefore admits nearly 2L. Here B = L/2 rounded up, and T is the smallest integer for which n = L + 1 is
impossible.

adapters/decide.lua mirrors this module inside Redis; one suite holds both to the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.ratelimit.limits import RateLimit, Verdict


@dataclass(frozen=True, slots=True)
class Pace:
    """What GCRA needs to know: `burst_units` at once, then one unit every `interval_us`."""

    burst_units: int
    interval_us: int

    @property
    def tolerance_us(self) -> int:
        """How far ahead of now the TAT may be."""
        return self.burst_units * self.interval_us


def pace(limit: RateLimit) -> Pace:
    """The fastest pace that never admits more than the limit's capacity in any window."""
    burst = limit.burst_units
    return Pace(burst, (limit.window_us - 1) // (limit.capacity_units + 1 - burst) + 1)


def judge(pace: Pace, tat_us: int | None, cost_units: int, now_us: int) -> tuple[Verdict, int]:
    """Whether `cost_units` fit now, and the TAT if they are spent; `tat_us` is None for a fresh bucket."""
    # At most one burst ahead: a clock that was set back must not lock the bucket for as long.
    base_us = min(max(now_us if tat_us is None else tat_us, now_us), now_us + pace.tolerance_us)
    remaining = (pace.tolerance_us - (base_us - now_us)) // pace.interval_us
    if cost_units > pace.burst_units:
        return Verdict(fits=False, remaining_units=remaining, wait_us=None), base_us
    spent_us = base_us + cost_units * pace.interval_us
    wait_us = max(0, spent_us - now_us - pace.tolerance_us)
    return Verdict(fits=wait_us == 0, remaining_units=remaining, wait_us=wait_us), spent_us
