"""LeasedLimits never admits more than the limit, and makes few calls."""

from __future__ import annotations

import asyncio

import pytest
from hocket.ratelimit.v1 import ratelimit_pb2

from hocket.chassis import errors, identity
from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.client.ratelimit import LeasedLimits
from services.ratelimit import wire
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.flow import Limiter
from services.ratelimit.limits import spends
from services.ratelimit.limits.limit_file import parse_limit_file

TABLE = parse_limit_file("""
[rates.busy]
window_s = 60
free = 1000
standard = 1000
premium = 0
[rates.huge]
window_s = 60
free = 1_000_000
standard = 1_000_000
premium = 1_000_000
[rates.even]
window_s = 60
algorithm = "smooth"
free = 1000
standard = 1000
premium = 1000
""")
ACME = identity.Identity("acme", "standard", "test")


class ManualClock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Service:
    """Replaces RateLimitClient: calls the real Limiter in this process, for the bound tenant, and counts the calls."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.calls = 0
        self.unavailable = False
        ids = iter(f"{n:032x}" for n in range(10**6))
        self.store = MemoryStore(lambda: int(self.clock.now * 1e6))
        self.limiter = Limiter(
            table=TABLE,
            shared=self.store,
            local=self.store,
            breaker=CircuitBreaker(),
            clock=self.clock,
            new_lease_id=lambda: next(ids),
        )

    def _called(self) -> identity.Identity:
        self.calls += 1
        if self.unavailable:
            raise errors.Unavailable("unavailable")
        return identity.current_or_none() or ACME

    async def check(self, requested) -> ratelimit_pb2.CheckResponse:
        rows = [wire.spend("spend", one) for one in requested]
        return wire.check_response(await self.limiter.check(self._called(), rows))

    async def lease(self, limit: str, units: int, *, subject: str = "") -> ratelimit_pb2.LeaseResponse:
        return wire.lease_response(
            await self.limiter.lease(self._called(), spends.parse_spend("", limit, units, subject))
        )

    async def return_lease(self, lease_id: str, units: int) -> None:
        await self.limiter.return_lease(self._called(), lease_id, units)

    async def remaining(self, limit: str) -> int:
        return (
            (await self.limiter.wait_time(ACME, spends.parse_spend("", limit, 1, "")))
            .standings[0]
            .verdict.remaining_units
        )


@pytest.fixture
def service() -> Service:
    return Service()


def leased(service: Service) -> LeasedLimits:
    return LeasedLimits(service, clock=service.clock)


async def test_limit_with_few_decisions_is_checked_directly(service):
    limits = leased(service)
    for _ in range(10):
        assert (await limits.spend("busy")).admitted
        service.clock.now += 1.0
    assert (service.calls, await service.remaining("busy")) == (10, 990)


async def test_limit_with_many_decisions_needs_few_calls(service):
    limits = leased(service)
    for _ in range(10_000):
        assert (await limits.spend("huge")).admitted
        service.clock.now += 0.001
        await asyncio.sleep(0)
    assert service.calls < 100
    await limits.close()
    # close() returned the unspent units; expired leases were returned when they expired.
    assert 1_000_000 - await service.remaining("huge") == 10_000


async def test_four_clients_together_never_exceed_the_capacity(service):
    clients = [leased(service) for _ in range(4)]
    admitted: list[float] = []
    for step in range(40_000):
        if (await clients[step % 4].spend("busy")).admitted:
            admitted.append(service.clock.now)
        service.clock.now += 0.004
        await asyncio.sleep(0)
    worst, start = 0, 0
    for end, at in enumerate(admitted):
        while admitted[start] <= at - 60.0:
            start += 1
        worst = max(worst, end - start + 1)
    # Nearly all of it is used: leases strand less than a tenth.
    assert 900 <= worst <= 1000
    assert service.calls < 20_000


async def test_denial_is_reused_for_the_same_or_a_larger_cost(service):
    limits = leased(service)
    assert (await limits.spend("busy", 995)).admitted
    service.clock.now += 3.0
    denied = await limits.spend("busy", 6)
    assert (denied.admitted, denied.wait_s) == (False, pytest.approx(57.0))
    calls = service.calls
    service.clock.now += 0.5
    again = await limits.spend("busy", 7)
    assert (again.admitted, again.wait_s) == (False, pytest.approx(56.5))
    assert service.calls == calls
    assert (await limits.spend("busy", 5)).admitted
    assert (await limits.spend("busy", 1001)).wait_s is not None
    service.clock.now += 2.0
    assert (await limits.spend("busy", 1001)).wait_s is None


async def test_leased_units_are_returned_for_a_large_cost(service):
    limits = leased(service)
    for _ in range(20):
        await limits.spend("busy")
    assert sum(lease.units for bucket in limits._buckets.values() for lease in bucket.leases) > 0
    assert (await limits.spend("busy", 980)).admitted
    assert await service.remaining("busy") == 0


async def test_tenants_have_separate_leases(service):
    limits = leased(service)
    for tenant in ("acme", "other"):
        identity.bind(identity.Identity(tenant, "standard", "test"))
        for _ in range(50):
            await limits.spend("busy")
    identity.bind(None)
    tenants = {key[0]: sum(lease.units for lease in b.leases) for key, b in limits._buckets.items()}
    assert set(tenants) == {"acme", "other"}
    spent = 1000 - await service.remaining("busy")
    assert spent == 50 + tenants["acme"]


@pytest.mark.parametrize(("limit", "tier"), [("even", "standard"), ("busy", "premium")])
async def test_limit_that_cannot_be_leased_is_checked_directly(service, limit, tier):
    limits = leased(service)
    identity.bind(identity.Identity("acme", tier, "test"))
    for _ in range(100):
        assert (await limits.spend(limit)).admitted
    identity.bind(None)
    assert service.calls == 101


async def test_unavailable_service_raises(service):
    limits = leased(service)
    service.unavailable = True
    for _ in range(20):
        with pytest.raises(errors.Unavailable):
            await limits.spend("busy")


async def test_concurrent_callers_share_one_lease(service):
    limits = leased(service)
    answers = await asyncio.gather(*(limits.spend("huge") for _ in range(200)))
    assert all(answer.admitted for answer in answers)
    assert service.calls < 200


async def test_expired_units_are_not_spent(service):
    limits = leased(service)
    for _ in range(50):
        await limits.spend("huge")
    service.clock.now += 1.0
    calls = service.calls
    await limits.spend("huge")
    await asyncio.sleep(0)
    assert service.calls > calls
