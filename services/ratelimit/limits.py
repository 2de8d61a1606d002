"""Decides which limit holds for a tenant's tier, and holds the words the decisions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.ratelimit.errors import LimitNotFound

# Up to this many units in a window every admission keeps its own microsecond; above, a log holds 1/128 of the window
# in one entry (128 entries are Redis' compact encoding of a sorted set), and units come back up to that much later.
EXACT_UNITS_MAX = 1000
COARSE_GRAINS = 128
US = 1_000_000


class Algorithm(StrEnum):
    """How a rate limit remembers."""

    LOG = "log"
    """Each admission with its time: the whole capacity may be spent at once, and never more in any window."""
    SMOOTH = "smooth"
    """GCRA, one number: half of the capacity at once, the rest evenly, and never more than the whole in any window."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `capacity_units` in any window of `window_us` microseconds; 0 units means unlimited."""

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
        """The limit of one server out of `parts`, at least one unit."""
        capacity = max(1, self.capacity_units // parts) if self.capacity_units else 0
        return RateLimit(self.name, capacity, self.window_us, self.algorithm)


@dataclass(frozen=True, slots=True)
class SlotLimit:
    """At most `capacity_slots` holders at once; 0 means unlimited."""

    name: str
    capacity_slots: int

    def share(self, parts: int) -> SlotLimit:
        """The limit of one server out of `parts`, at least one slot."""
        return SlotLimit(self.name, max(1, self.capacity_slots // parts) if self.capacity_slots else 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one limit says to one cost.

    `remaining_units` is after the decision; `wait_us` is 0 when the cost fits, None when it never can.
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
        """The charge against one server's share; a cost that fits the whole limit alone takes the whole share."""
        limit = self.limit.share(parts)
        fits_whole = self.cost_units <= self.limit.burst_units
        return Charge(limit, self.subject, min(self.cost_units, limit.burst_units) if fits_whole else self.cost_units)


class LimitTable:
    """Every limit by name and tenant tier."""

    def __init__(
        self, rates: Mapping[str, Mapping[str, RateLimit]], slots: Mapping[str, Mapping[str, SlotLimit]]
    ) -> None:
        """`rates` and `slots` map a name to the limit of each tier."""
        self.rates = rates
        self.slots = slots

    def rate(self, name: str, tier: str) -> RateLimit:
        """The rate limit `name` of `tier`. Raises LimitNotFound."""
        if name not in self.rates:
            kind = "a concurrency limit; use Acquire" if name in self.slots else "not a configured limit"
            raise LimitNotFound(f"{name!r} is {kind}", metadata={"limit": name})
        return self.rates[name][tier]

    def slot(self, name: str, tier: str) -> SlotLimit:
        """The concurrency limit `name` of `tier`. Raises LimitNotFound."""
        if name not in self.slots:
            kind = "a rate limit; use Check" if name in self.rates else "not a configured limit"
            raise LimitNotFound(f"{name!r} is {kind}", metadata={"limit": name})
        return self.slots[name][tier]

    def over(self, other: LimitTable) -> LimitTable:
        """This table, completed by the limits of `other` that it does not name."""
        mine = set(self.rates) | set(self.slots)
        rates = {n: r for n, r in other.rates.items() if n not in mine}
        slots = {n: s for n, s in other.slots.items() if n not in mine}
        return LimitTable({**rates, **self.rates}, {**slots, **self.slots})
