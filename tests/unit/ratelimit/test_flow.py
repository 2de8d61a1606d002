"""What is said when the shared store is silent, and in which order things happen."""

from __future__ import annotations

import pytest

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.errors import InvalidArgument
from hocket.chassis.identity import Identity
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.errors import LeaseNotFound, LimitNotFound, StoreGone
from services.ratelimit.flow import Limiter
from services.ratelimit.limit_file import parse
from services.ratelimit.spends import Spend

TABLE = parse("""
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
    """A shared store that can be gone, and counts how often it was asked."""

    gone = False
    asked = 0

    def __getattribute__(self, name: str):
        if name in {"spend_all", "spend_each", "peek", "lease", "give_back", "acquire", "release"}:
            self.asked += 1
            if self.gone:
                return _gone
        return super().__getattribute__(name)


async def _gone(*_):
    raise StoreGone("gone")


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


async def test_while_the_store_is_gone_a_server_admits_its_share():
    bench = Bench(replicas=2)
    bench.shared.gone = True
    assert [await bench.admitted() for _ in range(3)] == [(True, True), (True, True), (False, True)]


async def test_after_three_failures_the_store_is_asked_once_a_second_until_it_answers():
    bench = Bench()
    bench.shared.gone = True
    for _ in range(10):
        await bench.admitted()
    assert bench.shared.asked == 3
    bench.clock.now += 1.0
    for _ in range(10):
        await bench.admitted()
    assert bench.shared.asked == 4
    bench.shared.gone = False
    bench.clock.now += 1.0
    assert await bench.admitted() == (True, False)


async def test_a_cost_larger_than_the_share_but_not_the_limit_takes_the_whole_share():
    bench = Bench(replicas=4)
    bench.shared.gone = True
    assert await bench.admitted(cost=4) == (True, True)
    assert await bench.admitted(cost=1) == (False, True)
    assert (await bench.limiter.check(FREE, [Spend("small", 5, "")])).standings[0].verdict.wait_us is None


async def test_unlimited_is_admitted_without_asking():
    bench = Bench()
    assert await bench.admitted(cost=10**9, caller=PREMIUM) == (True, False)
    assert (await bench.limiter.wait_time(PREMIUM, Spend("small", 1, ""))).standings[0].verdict.wait_us == 0
    assert bench.shared.asked == 0


async def test_nothing_is_spent_unless_all_fit_and_standings_keep_the_order():
    bench = Bench()
    decision = await bench.limiter.check(FREE, [Spend("big", 1, ""), Spend("small", 5, ""), Spend("even", 1, "")])
    assert [s.limit.name for s in decision.standings] == ["big", "small", "even"]
    assert [s.verdict.fits for s in decision.standings] == [True, False, True]
    assert (await bench.limiter.wait_time(FREE, Spend("big", 1, ""))).standings[0].verdict.remaining_units == 4096


async def test_a_name_of_the_other_kind_or_of_none_is_not_found():
    bench = Bench()
    with pytest.raises(LimitNotFound, match="use Acquire"):
        await bench.limiter.check(FREE, [Spend("rooms", 1, "")])
    with pytest.raises(LimitNotFound, match="use Check"):
        await bench.limiter.acquire(FREE, "small", "r", None)
    with pytest.raises(LimitNotFound, match="not a configured"):
        await bench.limiter.check(FREE, [Spend("unheard", 1, "")])


async def test_leases_are_granted_returned_once_and_never_while_the_store_is_gone():
    bench = Bench()
    lease = await bench.limiter.lease(FREE, Spend("big", 2000, ""))
    assert (lease.units, lease.ttl_us) == (1024, 1_000_000)
    with pytest.raises(InvalidArgument, match="at most the 1024 units"):
        await bench.limiter.give_back(FREE, lease.lease_id, 1025)
    with pytest.raises(LeaseNotFound):
        await bench.limiter.give_back(Identity("other", "free", "test"), lease.lease_id, 1)
    await bench.limiter.give_back(FREE, lease.lease_id, 1024)
    with pytest.raises(LeaseNotFound):
        await bench.limiter.give_back(FREE, lease.lease_id, 0)
    bench.shared.gone = True
    refused = await bench.limiter.lease(FREE, Spend("big", 2000, ""))
    assert (refused.units, refused.lease_id, refused.wait_us) == (0, "", 1_000_000)


@pytest.mark.parametrize(("caller", "limit", "units"), [(FREE, "even", 5), (PREMIUM, "small", 5), (FREE, "big", 3)])
async def test_what_cannot_be_leased_is_refused_with_the_reason(caller, limit, units):
    with pytest.raises(InvalidArgument):
        await Bench().limiter.lease(caller, Spend(limit, units, ""))


async def test_slots_fail_open_at_the_share_and_return_when_the_store_does():
    bench = Bench(replicas=2)
    bench.shared.gone = True
    taken = [await bench.limiter.acquire(FREE, "rooms", f"r{n}", None) for n in range(3)]
    assert [(holding.acquired, degraded) for holding, _, degraded in taken] == [
        (True, True),
        (True, True),
        (False, True),
    ]
    await bench.limiter.release(FREE, "rooms", "r0")
    assert (await bench.limiter.acquire(FREE, "rooms", "r3", None))[0].acquired
    bench.shared.gone = False
    bench.clock.now += 1.0
    holding, capacity, degraded = await bench.limiter.acquire(FREE, "rooms", "r1", None)
    assert (holding.in_use, capacity, degraded) == (1, 4, False)


async def test_tenants_do_not_share_buckets():
    bench = Bench()
    assert await bench.admitted(cost=4) == (True, False)
    assert await bench.admitted(cost=4, caller=Identity("other", "free", "test")) == (True, False)
