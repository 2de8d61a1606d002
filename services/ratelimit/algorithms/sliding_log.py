"""Decides by a sliding log: no window ever admits more than the capacity.

Every admission is one entry (stamp, cost). The stamp is the time of the admission rounded up to the limit's grain, so
an entry may expire late but never early. An entry counts until `stamp + window`; hence the units spent in any half-open
interval of one window add up to at most the capacity. A lease is an entry stamped with the last moment at which its
units may be spent. The bound thus holds for leased units too; they are held for one lease lifetime longer.

adapters/log.lua is the same algorithm inside Redis; one test suite runs against both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from services.ratelimit.limits.rate_limits import RateLimit, Verdict

# A lease takes at most this fraction of the free units, which leaves units for other leases and direct calls.
LEASE_DIVISOR = 4
LEASE_TTL_US_MIN = 100_000
LEASE_TTL_US_MAX = 1_000_000
# Bounds the leases per window to this: each is an entry of its own, also in a coarse log.
LEASES_PER_WINDOW_MAX = 1024


@dataclass(slots=True)
class Entry:
    """Units spent at or before `stamp_us`; `lease_id` is set if they were leased."""

    stamp_us: int
    cost_units: int
    lease_id: str = ""


@dataclass(slots=True)
class SlidingLog:
    """State of one bucket: entries in the order of their stamps."""

    entries: list[Entry] = field(default_factory=list[Entry])

    @property
    def used_units(self) -> int:
        """Units of all entries."""
        return sum(entry.cost_units for entry in self.entries)

    def prune(self, limit: RateLimit, now_us: int) -> None:
        """Remove entries that left the window, and limit stamps that lie ahead because the clock was set back."""
        newest_us = stamp(limit, now_us) + LEASE_TTL_US_MAX
        self.entries = [entry for entry in self.entries if entry.stamp_us > now_us - limit.window_us]
        for entry in self.entries:
            entry.stamp_us = min(entry.stamp_us, newest_us)

    def judge(self, limit: RateLimit, cost_units: int, now_us: int) -> Verdict:
        """Decide whether `cost_units` fit now, spending nothing. Call `prune` first."""
        free = limit.capacity_units - self.used_units
        if cost_units > limit.capacity_units:
            return Verdict(fits=False, remaining_units=max(0, free), wait_us=None)
        wait_us = 0 if cost_units <= free else self._wait_us(limit, cost_units - free, now_us)
        return Verdict(fits=cost_units <= free, remaining_units=max(0, free), wait_us=wait_us)

    def _wait_us(self, limit: RateLimit, needed_units: int, now_us: int) -> int:
        # The cost is within the capacity, so the expiry of some entry frees enough.
        freed = accumulate(entry.cost_units for entry in self.entries)
        last = next(entry for entry, units in zip(self.entries, freed, strict=True) if units >= needed_units)
        return last.stamp_us + limit.window_us - now_us

    def spend(self, limit: RateLimit, cost_units: int, now_us: int) -> Verdict:
        """Spend `cost_units`. Call `judge` first; the cost must fit."""
        at_us = stamp(limit, now_us)
        for entry in self.entries:
            if entry.stamp_us == at_us and not entry.lease_id:
                entry.cost_units += cost_units
                break
        else:
            self._insert(Entry(at_us, cost_units))
        return Verdict(fits=True, remaining_units=limit.capacity_units - self.used_units, wait_us=0)

    def grant(self, limit: RateLimit, lease_id: str, wanted_units: int, ttl_us: int, now_us: int) -> tuple[int, int]:
        """Debit a lease. Call `prune` first.

        Args:
            limit: The bucket's limit.
            lease_id: Id of the new lease.
            wanted_units: Units wanted; fewer may be granted.
            ttl_us: How long the units may be spent, in microseconds.
            now_us: Current time, in microseconds.

        Returns:
            Units granted, and the wait in microseconds if there are none.
        """
        free = limit.capacity_units - self.used_units
        units = leasable(limit, free, wanted_units)
        if units == 0:
            # Wait for the free units that the smallest lease needs, at most the whole capacity.
            needed = min(smallest_lease(limit) * LEASE_DIVISOR, limit.capacity_units)
            return 0, self.judge(limit, needed, now_us).wait_us or 0
        self._insert(Entry(now_us + ttl_us, units, lease_id))
        return units, 0

    def return_units(self, lease_id: str, units: int) -> bool:
        """Free `units` of a lease; False if its entry has left the window."""
        for entry in self.entries:
            if entry.lease_id == lease_id:
                entry.cost_units -= units
                return True
        return False

    def _insert(self, new: Entry) -> None:
        self.entries.append(new)
        self.entries.sort(key=lambda entry: entry.stamp_us)


def stamp(limit: RateLimit, now_us: int) -> int:
    """Return `now_us` rounded up to the limit's grain."""
    return -(-now_us // limit.grain_us) * limit.grain_us


def lease_ttl_us(limit: RateLimit) -> int:
    """Return the lifetime of a lease in microseconds: 1/60 of the window, 0.1 to 1 s.

    Leased units are held for one lifetime longer than spent ones, so leasing costs up to 1/60 of the capacity.
    """
    return min(max(limit.window_us // 60, LEASE_TTL_US_MIN), LEASE_TTL_US_MAX)


def smallest_lease(limit: RateLimit) -> int:
    """Return the fewest units that a lease of this limit may hold."""
    return max(1, limit.capacity_units // LEASES_PER_WINDOW_MAX)


def leasable(limit: RateLimit, free_units: int, wanted_units: int) -> int:
    """Return the units that a lease gets of `free_units`; 0 means that the caller must check directly."""
    units = min(wanted_units, free_units // LEASE_DIVISOR)
    return units if units >= smallest_lease(limit) else 0
