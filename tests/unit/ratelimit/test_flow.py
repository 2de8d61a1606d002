"""Limiter: fallback to local shares without Redis, order of standings, leases and slots."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.errors import InvalidArgument
from hocket.chassis.identity import Identity
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.errors import LeaseNotFound, LimitNotFound, StoreUnavailable
from services.ratelimit.flow import Limiter
from services.ratelimit.limits.limit_file import parse_limit_file
from services.ratelimit.limits.limit_table import LimitTable
from services.ratelimit.limits.spends import Spend

TABLE = parse_limit_file("""
[rates.small]
window_s = 60
free = 4
standard = 8
premium = 0
[rates.even]
window_s = 60
algorithm = "smooth"
free = 8
standard = 8
premium = 8
[rates.big]
window_s = 60
free = 4096
standard = 40960
premium = 40960
[slots.rooms]
free = 4
standard = 4
premium = 0
""")
FREE = Identity("acme", "free", "test")
PREMIUM = Identity("acme", "premium", "test")


class ManualClock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Store(MemoryStore):
    """A shared store that can be made unavailable, and counts its calls."""

    unavailable = False
    calls = 0

    def __getattribute__(self, name: str):
        if name in {"spend_all", "spend_each", "peek", "lease", "return_lease", "acquire", "release"}:
            self.calls += 1
            if self.unavailable:
                return _unavailable
        return super().__getattribute__(name)


async def _unavailable(*_):
    raise StoreUnavailable("unavailable")


class Bench:
    def __init__(self, replicas: int = 2) -> None:
        self.clock = ManualClock()

        def now_us() -> int:
            return int(self.clock.now * 1e6)

        self.shared = Store(now_us)
        self.limiter = Limiter(
            table=TABLE,
            shared=self.shared,
            local=MemoryStore(now_us),
            breaker=CircuitBreaker(failures_max=3, open_s=1.0),
            clock=self.clock,
            new_lease_id=lambda: "ab" * 16,
            replicas_expected=replicas,
        )

    async def admitted(self, cost: int = 1, caller: Identity = FREE) -> tuple[bool, bool]:
        decision = await self.limiter.check(caller, [Spend("small", cost, "")])
        return decision.admitted, decision.degraded


async def test_without_the_store_a_replica_admits_its_share():
    bench = Bench(replicas=2)
    bench.shared.unavailable = True
    assert [await bench.admitted() for _ in range(3)] == [(True, True), (True, True), (False, True)]


async def test_open_breaker_probes_the_store_once_per_second():
    bench = Bench()
    bench.shared.unavailable = True
    for _ in range(10):
        await bench.admitted()
    assert bench.shared.calls == 3
    bench.clock.now += 1.0
    for _ in range(10):
        await bench.admitted()
    assert bench.shared.calls == 4
    bench.shared.unavailable = False
    bench.clock.now += 1.0
    assert await bench.admitted() == (True, False)


async def test_cost_larger_than_the_share_takes_the_whole_share():
    bench = Bench(replicas=4)
    bench.shared.unavailable = True
    assert await bench.admitted(cost=4) == (True, True)
    assert await bench.admitted(cost=1) == (False, True)
    assert (await bench.limiter.check(FREE, [Spend("small", 5, "")])).standings[0].verdict.wait_us is None


async def test_unlimited_cost_is_admitted_without_a_store_call():
    bench = Bench()
    assert await bench.admitted(cost=10**9, caller=PREMIUM) == (True, False)
    assert (await bench.limiter.wait_time(PREMIUM, Spend("small", 1, ""))).standings[0].verdict.wait_us == 0
    assert bench.shared.calls == 0


async def test_check_is_all_or_nothing_and_keeps_the_order():
    bench = Bench()
    decision = await bench.limiter.check(FREE, [Spend("big", 1, ""), Spend("small", 5, ""), Spend("even", 1, "")])
    assert [s.limit.name for s in decision.standings] == ["big", "small", "even"]
    assert [s.verdict.fits for s in decision.standings] == [True, False, True]
    assert (await bench.limiter.wait_time(FREE, Spend("big", 1, ""))).standings[0].verdict.remaining_units == 4096


async def test_limit_of_the_other_kind_is_not_found():
    bench = Bench()
    with pytest.raises(LimitNotFound, match="use Acquire"):
        await bench.limiter.check(FREE, [Spend("rooms", 1, "")])
    with pytest.raises(LimitNotFound, match="use Check"):
        await bench.limiter.acquire(FREE, "small", "r", None)
    with pytest.raises(LimitNotFound, match="not a configured"):
        await bench.limiter.check(FREE, [Spend("unknown", 1, "")])


async def test_lease_is_returned_once_and_not_granted_without_the_store():
    bench = Bench()
    lease = await bench.limiter.lease(FREE, Spend("big", 2000, ""))
    assert (lease.units, lease.ttl_us) == (1024, 1_000_000)
    with pytest.raises(InvalidArgument, match="the lease held 1024"):
        await bench.limiter.return_lease(FREE, lease.lease_id, 1025)
    with pytest.raises(LeaseNotFound):
        await bench.limiter.return_lease(Identity("other", "free", "test"), lease.lease_id, 1)
    await bench.limiter.return_lease(FREE, lease.lease_id, 1024)
    with pytest.raises(LeaseNotFound):
        await bench.limiter.return_lease(FREE, lease.lease_id, 0)
    bench.shared.unavailable = True
    refused = await bench.limiter.lease(FREE, Spend("big", 2000, ""))
    assert (refused.units, refused.lease_id, refused.wait_us) == (0, "", 1_000_000)


@pytest.mark.parametrize(("caller", "limit", "units"), [(FREE, "even", 5), (PREMIUM, "small", 5), (FREE, "big", 3)])
async def test_limit_that_cannot_be_leased_is_refused(caller, limit, units):
    with pytest.raises(InvalidArgument):
        await Bench().limiter.lease(caller, Spend(limit, units, ""))


async def test_without_the_store_slots_are_granted_up_to_the_share():
    bench = Bench(replicas=2)
    bench.shared.unavailable = True
    taken = [await bench.limiter.acquire(FREE, "rooms", f"r{n}", None) for n in range(3)]
    assert [(decision.holding.acquired, decision.degraded) for decision in taken] == [
        (True, True),
        (True, True),
        (False, True),
    ]
    await bench.limiter.release(FREE, "rooms", "r0")
    assert (await bench.limiter.acquire(FREE, "rooms", "r3", None)).holding.acquired
    bench.shared.unavailable = False
    bench.clock.now += 1.0
    decision = await bench.limiter.acquire(FREE, "rooms", "r1", None)
    assert (decision.holding.in_use, decision.capacity_slots, decision.degraded) == (1, 4, False)


async def test_tenants_have_separate_buckets():
    bench = Bench()
    assert await bench.admitted(cost=4) == (True, False)
    assert await bench.admitted(cost=4, caller=Identity("other", "free", "test")) == (True, False)


def test_every_limit_has_a_series_before_its_first_decision():
    table = LimitTable(
        {"untouched_rate": {"standard": TABLE.rate("small", "standard")}},
        {"untouched_slots": {"standard": TABLE.slot("rooms", "standard")}},
    )
    bench = Bench()
    Limiter(
        table=table,
        shared=bench.shared,
        local=bench.shared,
        breaker=CircuitBreaker(failures_max=3, open_s=1.0),
        clock=bench.clock,
        new_lease_id=str,
    )
    for limit in ("untouched_rate", "untouched_slots"):
        labels = {"limit": limit, "outcome": "admitted", "tenant_tier": "standard"}
        assert REGISTRY.get_sample_value("hocket_ratelimit_decisions_total", labels) == 0
