"""Decides by an exact sliding log: never more than the capacity in any window, whoever asks and when.

Every admission is one entry (stamp, cost); a stamp is the time of the admission rounded up to the limit's grain, so an
entry may leave late and never early. An entry counts until `stamp + window`, hence the units spent in any half-open
interval of one window sum to at most the capacity. A lease is an entry stamped at the last moment its units may be
spent, which keeps that true for leased units at the price of holding them for one lease time longer.

adapters/log.lua mirrors this module inside Redis; one suite holds both to the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from services.ratelimit.limits import RateLimit, Verdict

# A lease takes at most this share of what is free, so that several holders and direct calls all find something.
LEASE_DIVISOR = 4
LEASE_TTL_US_MIN = 100_000
LEASE_TTL_US_MAX = 1_000_000
# A coarse log takes no more leases than this in a window: each is an entry of its own.
LEASES_PER_WINDOW_MAX = 1024


@dataclass(slots=True)
class Entry:
    """Units spent at or before `stamp_us`; `lease_id` when they were leased."""

    stamp_us: int
    cost_units: int
    lease_id: str = ""


@dataclass(slots=True)
class SlidingLog:
    """The state of one bucket: entries in the order of their stamps."""

    entries: list[Entry] = field(default_factory=list[Entry])

    @property
    def used_units(self) -> int:
        """Units that count now."""
        return sum(entry.cost_units for entry in self.entries)

    def prune(self, limit: RateLimit, now_us: int) -> None:
        """Forget what left the window, and pull back stamps from a clock that has since been set back."""
        newest_us = stamp(limit, now_us) + LEASE_TTL_US_MAX
        self.entries = [entry for entry in self.entries if entry.stamp_us > now_us - limit.window_us]
        for entry in self.entries:
            entry.stamp_us = min(entry.stamp_us, newest_us)

    def judge(self, limit: RateLimit, cost_units: int, now_us: int) -> Verdict:
        """Whether `cost_units` fit now, spending nothing. `prune` first."""
        free = limit.capacity_units - self.used_units
        if cost_units > limit.capacity_units:
            return Verdict(fits=False, remaining_units=max(0, free), wait_us=None)
        wait_us = 0 if cost_units <= free else self._wait_us(limit, cost_units - free, now_us)
        return Verdict(fits=cost_units <= free, remaining_units=max(0, free), wait_us=wait_us)

    def _wait_us(self, limit: RateLimit, needed_units: int, now_us: int) -> int:
        # A cost within the capacity never needs more than all that is used, so some entry frees enough.
        freed = accumulate(entry.cost_units for entry in self.entries)
        last = next(entry for entry, units in zip(self.entries, freed, strict=True) if units >= needed_units)
        return last.stamp_us + limit.window_us - now_us

    def spend(self, limit: RateLimit, cost_units: int, now_us: int) -> Verdict:
        """Spend `cost_units`, which `judge` found to fit."""
        at_us = stamp(limit, now_us)
        for entry in self.entries:
            if entry.stamp_us == at_us and not entry.lease_id:
                entry.cost_units += cost_units
                break
        else:
            self._insert(Entry(at_us, cost_units))
        return Verdict(fits=True, remaining_units=limit.capacity_units - self.used_units, wait_us=0)

    def grant(self, limit: RateLimit, lease_id: str, wished_units: int, ttl_us: int, now_us: int) -> tuple[int, int]:
        """Lease up to `wished_units` for `ttl_us`: (units, wait in us when none). `prune` first."""
        free = limit.capacity_units - self.used_units
        units = leasable(limit, free, wished_units)
        if units == 0:
            # The wait is for what a lease of the wished size would need, never more than the whole capacity.
            needed = min(smallest_lease(limit) * LEASE_DIVISOR, limit.capacity_units)
            return 0, self.judge(limit, needed, now_us).wait_us or 0
        self._insert(Entry(now_us + ttl_us, units, lease_id))
        return units, 0

    def give_back(self, lease_id: str, units: int) -> bool:
        """Free `units` of a lease; False when its entry has left the window."""
        for entry in self.entries:
            if entry.lease_id == lease_id:
                entry.cost_units -= units
                return True
        return False

    def _insert(self, new: Entry) -> None:
        self.entries.append(new)
        self.entries.sort(key=lambda entry: entry.stamp_us)


def stamp(limit: RateLimit, now_us: int) -> int:
    """`now_us` rounded up to the limit's grain."""
    return -(-now_us // limit.grain_us) * limit.grain_us


def lease_ttl_us(limit: RateLimit) -> int:
    """How long leased units may be spent: 1/60 of the window, 0.1 to 1 s; leasing costs that share of the capacity."""
    return min(max(limit.window_us // 60, LEASE_TTL_US_MIN), LEASE_TTL_US_MAX)


def smallest_lease(limit: RateLimit) -> int:
    """The fewest units a lease of this limit may hold."""
    return max(1, limit.capacity_units // LEASES_PER_WINDOW_MAX)


def leasable(limit: RateLimit, free_units: int, wished_units: int) -> int:
    """How many units a lease gets when `free_units` are left; 0 sends the caller to ask directly."""
    units = min(wished_units, free_units // LEASE_DIVISOR)
    return units if units >= smallest_lease(limit) else 0
