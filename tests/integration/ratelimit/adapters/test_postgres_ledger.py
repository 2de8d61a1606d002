"""PostgresLedger over a real Postgres: events are recorded once, and tenants are isolated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from hocket.postgres.migrations import migrate
from hocket.postgres.tenant_database import TenantDatabase
from services.ratelimit.adapters.memory_ledger import MemoryLedger
from services.ratelimit.adapters.postgres_ledger import MIGRATIONS, PostgresLedger
from services.ratelimit.errors import LedgerUnavailable
from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import Period

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALWAYS = Period(None, None, "")


def event(**changes) -> CostEvent:
    made = CostEvent(
        event_id=str(uuid4()),
        occurred_at=NOW,
        kind="llm",
        provider="anthropic",
        model="sonnet",
        cost_micro_usd=100,
        quantities={"input_tokens": 7, "output_tokens": 3},
        room="r1",
        turn_id="t1",
        tier="smart",
        price_row="sonnet@2026-11-01",
        speculative=False,
        outcome="ok",
    )
    return replace(made, **changes)


@pytest.fixture
async def database(postgres_urls):
    await migrate(postgres_urls.owner_url, "ratelimit", MIGRATIONS)
    database = TenantDatabase(postgres_urls.app_url)
    yield database
    await database.close()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid4()}"


@pytest.fixture(params=["memory", "postgres"])
def ledger(request):
    if request.param == "memory":
        return MemoryLedger()
    return PostgresLedger(request.getfixturevalue("database"))


async def test_event_is_recorded_once_however_often_it_is_sent(ledger, tenant):
    one, two = event(), event(model="haiku")
    assert await ledger.record(tenant, [one, one, two]) == [one, two]
    assert await ledger.record(tenant, [two, replace(one, cost_micro_usd=999)]) == []
    assert sum(s.cost_micro_usd for s in await ledger.sums(tenant, ALWAYS)) == 200


async def test_sums_group_by_kind_provider_model_and_tier(ledger, tenant):
    events = [
        event(),
        event(quantities={"input_tokens": 1, "cached_input_tokens": 5}),
        event(tier="fast"),
        event(kind="tts", quantities={}, cost_micro_usd=0),
    ]
    await ledger.record(tenant, events)
    rows = [(s.kind, s.tier, s.events, s.cost_micro_usd, dict(s.quantities)) for s in await ledger.sums(tenant, ALWAYS)]
    assert rows == [
        ("llm", "fast", 1, 100, {"input_tokens": 7, "output_tokens": 3}),
        ("llm", "smart", 2, 200, {"input_tokens": 8, "output_tokens": 3, "cached_input_tokens": 5}),
        ("tts", "smart", 1, 0, {}),
    ]


async def test_period_is_half_open_and_may_select_a_room(ledger, tenant):
    await ledger.record(tenant, [event(), event(occurred_at=NOW + timedelta(hours=1)), event(room="r2")])

    async def count(start=None, end=None, room="") -> int:
        return sum(s.events for s in await ledger.sums(tenant, Period(start, end, room)))

    assert await count() == 3
    assert await count(start=NOW, end=NOW + timedelta(hours=1)) == 2
    assert await count(start=NOW + timedelta(microseconds=1)) == 1
    assert await count(room="r2") == 1


async def test_same_event_id_of_two_tenants_is_two_events(ledger, tenant):
    one = event()
    assert len(await ledger.record(tenant, [one])) == 1
    assert len(await ledger.record(f"{tenant}-other", [one])) == 1
    assert sum(s.events for s in await ledger.sums(tenant, ALWAYS)) == 1


async def test_concurrent_senders_record_each_event_once(database, tenant):
    ledger = PostgresLedger(database)
    events = [event() for _ in range(200)]
    booked = await asyncio.gather(*(ledger.record(tenant, events) for _ in range(5)))
    assert sum(map(len, booked)) == 200
    assert (await ledger.sums(tenant, ALWAYS))[0].events == 200


async def test_row_level_security_isolates_tenants(database, postgres_urls, tenant):
    await PostgresLedger(database).record(tenant, [event()])
    async with database.tenant("mallory") as connection:
        assert await connection.fetchval("SELECT count(*) FROM ratelimit.cost_events WHERE tenant_id = $1", tenant) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant("mallory") as connection:
            await connection.execute(
                "INSERT INTO ratelimit.cost_events (tenant_id, event_id, occurred_at, kind, provider, model,"
                " cost_micro_usd, outcome) VALUES ($1, gen_random_uuid(), now(), 'llm', 'p', 'm', 1, 'ok')",
                tenant,
            )
    # Without a tenant no role sees a row, the owner of the table included.
    for url in (postgres_urls.app_url, postgres_urls.owner_url):
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT count(*) FROM ratelimit.cost_events") == 0
        await connection.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE ratelimit.cost_events SET cost_micro_usd = 0", "DELETE FROM ratelimit.cost_events"]
)
async def test_service_role_cannot_change_recorded_events(database, tenant, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(tenant) as connection:
            await connection.execute(statement)


async def test_second_migration_changes_nothing(database, postgres_urls):
    assert await migrate(postgres_urls.owner_url, "ratelimit", MIGRATIONS) == []


async def test_unreachable_database_raises_ledger_unavailable(fresh_postgres_urls, tenant):
    for url in ("postgresql://hocket_app@127.0.0.1:1/hocket", fresh_postgres_urls.app_url):  # no server; no table
        database = TenantDatabase(url)
        with pytest.raises(LedgerUnavailable) as caught:
            await PostgresLedger(database).record(tenant, [event()])
        assert caught.value.retry_after_s == 1
        await database.close()


async def test_terminated_connection_is_replaced(database, fresh_postgres_urls, tenant):
    await migrate(fresh_postgres_urls.owner_url, "ratelimit", MIGRATIONS)
    own = TenantDatabase(fresh_postgres_urls.app_url)
    ledger = PostgresLedger(own)
    await ledger.record(tenant, [event()])
    with pytest.raises(LedgerUnavailable):
        async with ledger._tenant(tenant) as connection:
            # A role may terminate its own sessions; this also terminates the statement itself.
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert len(await ledger.record(tenant, [event()])) == 1
    await own.close()


async def test_sums_isolate_tenants_without_row_level_security(fresh_postgres_urls):
    await migrate(fresh_postgres_urls.owner_url, "ratelimit", MIGRATIONS)
    owner = await asyncpg.connect(fresh_postgres_urls.owner_url)
    await owner.execute("ALTER TABLE ratelimit.cost_events DISABLE ROW LEVEL SECURITY")
    await owner.close()
    database = TenantDatabase(fresh_postgres_urls.app_url)
    ledger = PostgresLedger(database)
    for tenant_id in ("acme", "other"):
        await ledger.record(tenant_id, [event()])
    assert [one.events for one in await ledger.sums("acme", ALWAYS)] == [1]
    await database.close()
