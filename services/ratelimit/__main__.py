"""The command hocket-ratelimit: builds adapters, flows and servicers from the settings; sub-command `migrate`."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

import secrets
import sys
import time
from contextlib import AsyncExitStack

from hocket.ratelimit.v1 import ledger_pb2_grpc, ratelimit_pb2_grpc

from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import SystemClock
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from hocket.postgres.migrate_command import run_migrate
from hocket.postgres.schema_version import KnownSchema, read_migrations
from hocket.postgres.tenant_database import TenantDatabase
from services.ratelimit import envoy_server, server
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.adapters.postgres_ledger import MIGRATIONS, SCHEMA, PostgresLedger
from services.ratelimit.adapters.redis_store import RedisStore
from services.ratelimit.flow import CostLedger, Limiter
from services.ratelimit.readiness import ready_after_first_success
from services.ratelimit.settings import MigrationSettings, Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Connect Redis and Postgres, and build the three servicers. `resources` closes the connections."""
    database = TenantDatabase(
        settings.postgres_url.get_secret_value(),
        schema=KnownSchema(SCHEMA, read_migrations(MIGRATIONS), "hocket-ratelimit migrate"),
        connections_max=settings.postgres_connections_max,
    )
    resources.push_async_callback(database.close)
    store = RedisStore(
        settings.redis_url.get_secret_value(),
        timeout_s=settings.redis_timeout_s,
        connections_max=settings.redis_connections_max,
        cluster=settings.redis_cluster,
    )
    resources.push_async_callback(store.close)
    clock, table = SystemClock(), settings.limit_table()
    limiter = Limiter(
        table=table,
        shared=store,
        local=MemoryStore(lambda: time.monotonic_ns() // 1000),
        breaker=CircuitBreaker(failures_max=settings.breaker_failures_max, open_s=settings.breaker_open_s),
        clock=clock,
        new_lease_id=lambda: secrets.token_hex(16),
        replicas_expected=settings.replicas_expected,
    )
    limits, ledger = (
        server.RateLimitServicer(limiter),
        server.LedgerServicer(CostLedger(PostgresLedger(database), clock)),
    )
    envoy = envoy_server.EnvoyServicer(limiter, frozenset(table.rates))
    names = ("hocket.ratelimit.v1.RateLimitService", "hocket.ratelimit.v1.LedgerService", envoy_server.FULL_NAME)
    return Assembly(
        servicers=[
            Servicer(names[0], lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, s)),
            Servicer(names[1], lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, s)),
            Servicer(names[2], lambda s: envoy_server.add_to(envoy, s)),
        ],
        checks={
            "redis": ready_after_first_success("redis", store.check),
            "postgres": ready_after_first_success("postgres", database.check),
        },
    )


def main() -> None:
    """Run the service or the sub-command."""
    if sys.argv[1:2] == ["migrate"]:
        run_migrate("ratelimit", SCHEMA, MIGRATIONS, MigrationSettings, sys.argv[2:])
    else:
        description = "Decide what a tenant may spend now, and record what it spent. Sub-command: migrate (--help)."
        run("ratelimit", description, Settings, build)


if __name__ == "__main__":
    main()
