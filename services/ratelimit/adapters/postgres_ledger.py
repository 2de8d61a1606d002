"""Ledger in Postgres: the table cost_events under row-level security; rows are inserted and never changed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from hocket.chassis.errors import Unavailable
from hocket.postgres.tenant_database import TenantDatabase
from services.ratelimit.errors import LedgerUnavailable
from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import CostSum, Period

SCHEMA = "ratelimit"
MIGRATIONS = Path(__file__).parent / "migrations"
# Temporary states, fixed by an operator or a restart; a retry then succeeds. Other errors are defects.
_TEMPORARY = (
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.ReadOnlySQLTransactionError,
)

_RECORD = """
INSERT INTO ratelimit.cost_events (tenant_id, event_id, occurred_at, kind, provider, model, cost_micro_usd, quantities,
                                   room, turn_id, tier, price_row, speculative, outcome)
SELECT $1, event.* FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                               $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::text[], $13::boolean[],
                               $14::text[]) AS event
ON CONFLICT (tenant_id, event_id) DO NOTHING
RETURNING event_id
"""

_SUMS = """
WITH chosen AS (
    SELECT kind, provider, model, tier, cost_micro_usd, quantities FROM ratelimit.cost_events
    WHERE tenant_id = $1
      AND ($2::timestamptz IS NULL OR occurred_at >= $2) AND ($3::timestamptz IS NULL OR occurred_at < $3)
      AND ($4 = '' OR room = $4)
), units AS (
    SELECT kind, provider, model, tier, unit.key, sum(unit.value::bigint) AS total
    FROM chosen, jsonb_each_text(quantities) AS unit GROUP BY kind, provider, model, tier, unit.key
), packed AS (
    SELECT kind, provider, model, tier, jsonb_object_agg(key, total)::text AS quantities
    FROM units GROUP BY kind, provider, model, tier
)
SELECT kind, provider, model, tier, count(*) AS events, sum(cost_micro_usd)::bigint AS cost_micro_usd,
       (SELECT quantities FROM packed WHERE (packed.kind, packed.provider, packed.model, packed.tier)
                                          = (chosen.kind, chosen.provider, chosen.model, chosen.tier)) AS quantities
FROM chosen GROUP BY kind, provider, model, tier ORDER BY kind, provider, model, tier
"""


class PostgresLedger:
    """Implements ports.Ledger over Postgres."""

    def __init__(self, database: TenantDatabase) -> None:
        """Create a ledger over `database`, which the caller closes."""
        self._database = database

    async def record(self, tenant_id: str, events: Sequence[CostEvent]) -> list[CostEvent]:
        """Record the events whose ids are new to the tenant, and return them. They are durable then."""
        columns = zip(*(_row(event) for event in events), strict=True)
        async with self._tenant(tenant_id) as connection:
            rows = await connection.fetch(_RECORD, tenant_id, *(list(column) for column in columns))
        new = {row["event_id"] for row in rows}
        recorded: list[CostEvent] = []
        for event in events:
            if event.uuid in new:
                new.discard(event.uuid)  # one request may hold an id twice
                recorded.append(event)
        return recorded

    async def sums(self, tenant_id: str, period: Period) -> list[CostSum]:
        """Return one sum per kind, provider, model and tier."""
        async with self._tenant(tenant_id) as connection:
            rows = await connection.fetch(_SUMS, tenant_id, period.start, period.end, period.room)
        return [
            CostSum(
                row["kind"],
                row["provider"],
                row["model"],
                row["tier"],
                row["events"],
                row["cost_micro_usd"],
                json.loads(row["quantities"] or "{}"),
            )
            for row in rows
        ]

    @asynccontextmanager
    async def _tenant(self, tenant_id: str) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy, None]:
        try:
            async with self._database.tenant(tenant_id) as connection:
                yield connection
        except (Unavailable, *_TEMPORARY) as error:
            why = error.message if isinstance(error, Unavailable) else "the database refuses"
            raise LedgerUnavailable(
                f"the ledger cannot be used ({why}); retry with the same event ids", retry_after_s=1
            ) from error


def _row(event: CostEvent) -> tuple[object, ...]:
    return (
        event.uuid,
        event.occurred_at,
        event.kind,
        event.provider,
        event.model,
        event.cost_micro_usd,
        json.dumps(dict(event.quantities)),
        event.room,
        event.turn_id,
        event.tier,
        event.price_row,
        event.speculative,
        event.outcome,
    )
