"""Limit store in this process: the fallback while Redis is unavailable, and the reference that tests hold Redis to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.ratelimit.algorithms import gcra
from services.ratelimit.algorithms.sliding_log import SlidingLog, lease_ttl_us
from services.ratelimit.algorithms.slots import Holding, Slots
from services.ratelimit.limits.rate_limits import Algorithm, Charge, RateLimit, SlotLimit, Verdict

T = TypeVar("T")
_Key = tuple[str, str, str]


class MemoryStore:
    """Implements ports.LimitStore in memory; never raises StoreUnavailable."""

    def __init__(self, now_us: Callable[[], int], *, buckets_max: int = 50_000) -> None:
        """Create an empty store.

        Args:
            now_us: Returns the current time in microseconds.
            buckets_max: Buckets of each kind; beyond that the least recently used one is forgotten.
        """
        self._now_us = now_us
        self._buckets_max = buckets_max
        self._logs: OrderedDict[_Key, SlidingLog] = OrderedDict()
        self._tats: OrderedDict[_Key, int] = OrderedDict()
        self._slots: OrderedDict[_Key, Slots] = OrderedDict()
        self._leases: OrderedDict[_Key, tuple[_Key, int, int]] = OrderedDict()

    async def spend_all(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Spend every charge, or none if one does not fit."""
        now_us = self._now_us()
        verdicts = [self._judge(tenant_id, charge, now_us) for charge in charges]
        if all(verdict.fits for verdict in verdicts):
            return [self._spend(tenant_id, charge, now_us) for charge in charges]
        return verdicts

    async def spend_each(self, tenant_id: str, charges: Sequence[Charge]) -> list[Verdict]:
        """Decide and spend each charge on its own, in order."""
        return [(await self.spend_all(tenant_id, [charge]))[0] for charge in charges]

    async def peek(self, tenant_id: str, charge: Charge) -> Verdict:
        """Return the verdict of a charge, spending nothing."""
        return self._judge(tenant_id, charge, self._now_us())

    async def lease(self, tenant_id: str, lease_id: str, limit: RateLimit, subject: str, units: int) -> tuple[int, int]:
        """Debit up to `units` in advance."""
        now_us, key, ttl_us = self._now_us(), (tenant_id, limit.name, subject), lease_ttl_us(limit)
        log = self._log(key, limit, now_us)
        granted, wait_us = log.grant(limit, lease_id, units, ttl_us, now_us)
        if granted:
            lease = (key, granted, now_us + ttl_us + limit.window_us)
            self._touch(self._leases, (tenant_id, "", lease_id), lambda: lease)
        return granted, wait_us

    async def return_lease(self, tenant_id: str, lease_id: str, units: int) -> int | None:
        """End a lease and free its unspent units."""
        key, held, ends_us = self._leases.get((tenant_id, "", lease_id), (("", "", ""), 0, 0))
        if ends_us <= self._now_us():
            return None
        if units <= held:
            del self._leases[tenant_id, "", lease_id]
            if log := self._logs.get(key):
                log.return_units(lease_id, units)
        return held

    async def acquire(self, tenant_id: str, limit: SlotLimit, holder: str, ttl_us: int) -> Holding:
        """Take a slot, or renew the holder's own."""
        slots = self._touch(self._slots, (tenant_id, limit.name, ""), Slots)
        return slots.acquire(holder, limit.capacity_slots, ttl_us, self._now_us())

    async def release(self, tenant_id: str, limit: SlotLimit, holder: str) -> None:
        """Release the holder's slot."""
        self._touch(self._slots, (tenant_id, limit.name, ""), Slots).release(holder)

    def _judge(self, tenant_id: str, charge: Charge, now_us: int) -> Verdict:
        key = (tenant_id, charge.limit.name, charge.subject)
        if charge.limit.algorithm is Algorithm.SMOOTH:
            return gcra.judge(gcra.emission_rate(charge.limit), self._tats.get(key), charge.cost_units, now_us)[0]
        return self._log(key, charge.limit, now_us).judge(charge.limit, charge.cost_units, now_us)

    def _spend(self, tenant_id: str, charge: Charge, now_us: int) -> Verdict:
        key = (tenant_id, charge.limit.name, charge.subject)
        if charge.limit.algorithm is Algorithm.LOG:
            return self._log(key, charge.limit, now_us).spend(charge.limit, charge.cost_units, now_us)
        rate = gcra.emission_rate(charge.limit)
        verdict, tat_us = gcra.judge(rate, self._tats.get(key), charge.cost_units, now_us)
        self._tats.pop(key, None)
        self._touch(self._tats, key, lambda: tat_us)
        return Verdict(fits=True, remaining_units=verdict.remaining_units - charge.cost_units, wait_us=0)

    def _log(self, key: _Key, limit: RateLimit, now_us: int) -> SlidingLog:
        log = self._touch(self._logs, key, SlidingLog)
        log.prune(limit, now_us)
        return log

    def _touch(self, held: OrderedDict[_Key, T], key: _Key, make: Callable[[], T]) -> T:
        if key not in held:
            held[key] = make()
            if len(held) > self._buckets_max:
                held.popitem(last=False)
        held.move_to_end(key)
        return held[key]
