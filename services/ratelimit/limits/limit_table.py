"""Decides which limit applies to a tenant: by the limit's name and the tenant's tier."""

from __future__ import annotations

from collections.abc import Mapping

from services.ratelimit.errors import LimitNotFound
from services.ratelimit.limits.rate_limits import RateLimit, SlotLimit


class LimitTable:
    """Every configured limit by name and tenant tier."""

    def __init__(
        self, rates: Mapping[str, Mapping[str, RateLimit]], slots: Mapping[str, Mapping[str, SlotLimit]]
    ) -> None:
        """Create a table.

        Args:
            rates: Rate limits by name, then by tier; every tier is present.
            slots: Concurrency limits by name, then by tier; no name is in both.
        """
        self.rates = rates
        self.slots = slots

    def rate(self, name: str, tier: str) -> RateLimit:
        """Return the rate limit `name` of `tier`.

        Raises:
            LimitNotFound: No such limit is configured, or `name` is a concurrency limit.
        """
        if name not in self.rates:
            kind = "a concurrency limit; use Acquire" if name in self.slots else "not a configured limit"
            raise LimitNotFound(f"{name!r} is {kind}", metadata={"limit": name})
        return self.rates[name][tier]

    def slot(self, name: str, tier: str) -> SlotLimit:
        """Return the concurrency limit `name` of `tier`.

        Raises:
            LimitNotFound: No such limit is configured, or `name` is a rate limit.
        """
        if name not in self.slots:
            kind = "a rate limit; use Check" if name in self.rates else "not a configured limit"
            raise LimitNotFound(f"{name!r} is {kind}", metadata={"limit": name})
        return self.slots[name][tier]

    def with_defaults(self, defaults: LimitTable) -> LimitTable:
        """Return this table, extended by the limits of `defaults` whose names it does not hold."""
        own = set(self.rates) | set(self.slots)
        rates = {name: tiers for name, tiers in defaults.rates.items() if name not in own}
        slots = {name: tiers for name, tiers in defaults.slots.items() if name not in own}
        return LimitTable({**rates, **self.rates}, {**slots, **self.slots})
