"""Values that the decisions share: a rate limit, a concurrency limit, a charge against a limit, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# A limit of up to this many units keeps every admission with its own microsecond. Above, one log entry covers 1/128 of
# the window (128 entries are the most that Redis keeps in its compact encoding of a sorted set), and units come free
# up to that much later.
EXACT_UNITS_MAX = 1000
COARSE_GRAINS = 128
US = 1_000_000
"""Microseconds per second."""


class Algorithm(StrEnum):
    """How a rate limit is enforced."""

    LOG = "log"
    """Sliding log: the whole capacity may be spent at once, and no window admits more."""
    SMOOTH = "smooth"
    """GCRA: half of the capacity at once, the rest evenly; no window admits more. One number per bucket."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `capacity_units` in any window of `window_us` microseconds; 0 units mean unlimited."""

    name: str
    capacity_units: int
    window_us: int
    algorithm: Algorithm = Algorithm.LOG

    @property
    def grain_us(self) -> int:
        """Microseconds that share one entry of the log; 1 is exact."""
        return 1 if self.capacity_units <= EXACT_UNITS_MAX else max(1, self.window_us // COARSE_GRAINS)

    @property
    def burst_units(self) -> int:
        """The largest cost that can ever be admitted."""
        return self.capacity_units if self.algorithm is Algorithm.LOG else -(-self.capacity_units // 2)

    def share(self, parts: int) -> RateLimit:
        """Return the limit of one replica out of `parts`: at least one unit."""
        capacity = max(1, self.capacity_units // parts) if self.capacity_units else 0
        return RateLimit(self.name, capacity, self.window_us, self.algorithm)


@dataclass(frozen=True, slots=True)
class SlotLimit:
    """At most `capacity_slots` holders at once; 0 means unlimited."""

    name: str
    capacity_slots: int

    def share(self, parts: int) -> SlotLimit:
        """Return the limit of one replica out of `parts`: at least one slot."""
        return SlotLimit(self.name, max(1, self.capacity_slots // parts) if self.capacity_slots else 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one charge.

    Attributes:
        fits: Whether the cost fits now.
        remaining_units: Units left in the window after the decision.
        wait_us: Microseconds until the cost would fit; 0 if it fits, None if it exceeds the whole limit.
    """

    fits: bool
    remaining_units: int
    wait_us: int | None


UNLIMITED = Verdict(fits=True, remaining_units=0, wait_us=0)


@dataclass(frozen=True, slots=True)
class Charge:
    """A cost against the bucket of one limit and subject, within one tenant."""

    limit: RateLimit
    subject: str
    cost_units: int

    def share(self, parts: int) -> Charge:
        """Return the charge against the limit of one replica out of `parts`.

        A cost that fits the whole limit but not the replica's share takes the whole share.
        """
        limit = self.limit.share(parts)
        fits_whole = self.cost_units <= self.limit.burst_units
        return Charge(limit, self.subject, min(self.cost_units, limit.burst_units) if fits_whole else self.cost_units)
