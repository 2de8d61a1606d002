"""The command hocket-rag: builds adapters, flow and servicer from the settings; sub-command `migrate`."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

import sys
from contextlib import AsyncExitStack

import structlog
from hocket.rag.v1 import rag_pb2_grpc

from hocket.chassis.channel import MeshChannel, forwarded_token
from hocket.chassis.clock import SystemClock
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from hocket.client.ledger import CostRecorder
from hocket.client.ledger_metrics import CostEventMetrics
from hocket.client.ratelimit import RateLimitClient
from hocket.postgres.migrate_command import run_migrate
from hocket.postgres.schema_version import KnownSchema, read_migrations
from hocket.postgres.tenant_database import TenantDatabase
from services.rag.adapters.cached_embedder import CachedEmbedder, open_redis
from services.rag.adapters.hashed_embedder import HashedEmbedder
from services.rag.adapters.postgres_store import MIGRATIONS, SCHEMA, PostgresStore
from services.rag.adapters.ratelimit import MeshEmbeddingCosts, MeshQueryLimit, NoQueryLimit
from services.rag.adapters.voyage_embedder import VoyageEmbedder
from services.rag.flow import KnowledgeBase
from services.rag.ports import Embedder, QueryLimit
from services.rag.server import FULL_NAME, RagServicer
from services.rag.settings import MigrationSettings, Settings

_log = structlog.get_logger()


def main() -> None:
    """Run the service or the sub-command."""
    if sys.argv[1:2] == ["migrate"]:
        run_migrate("rag", SCHEMA, MIGRATIONS, MigrationSettings, sys.argv[2:])
    else:
        description = "Find the passages of a tenant's knowledge that answer a query. Sub-command: migrate (--help)."
        run("rag", description, Settings, build)


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Connect the dependencies and build the servicer. `resources` closes the connections."""
    database = TenantDatabase(
        settings.postgres_url.get_secret_value(),
        schema=KnownSchema(SCHEMA, read_migrations(MIGRATIONS), "hocket-rag migrate"),
        connections_max=settings.postgres_connections_max,
        statement_timeout_s=settings.statement_timeout_s,
    )
    resources.push_async_callback(database.close)
    store, embedder = PostgresStore(database), await _embedder(settings, resources)
    limit = await _limit(settings, resources)
    knowledge = KnowledgeBase(store, embedder, limit, SystemClock(), passage_bytes_max=settings.passage_bytes_max)
    servicer = RagServicer(knowledge, search_budget_s=settings.search_budget_s)
    served = Servicer(FULL_NAME, lambda server: rag_pb2_grpc.add_RagServiceServicer_to_server(servicer, server))
    return Assembly([served], {"postgres": store.check})


async def _embedder(settings: Settings, resources: AsyncExitStack) -> Embedder:
    if settings.voyage_api_key is None:
        _log.info("no voyage key: search is lexical, vectors are hashes without meaning")
        return HashedEmbedder()
    # With a minter, costs of an ingest stream are recorded even after the token of the stream has expired.
    recorder = CostRecorder(
        settings.ratelimit_target,
        tls=settings.peer_tls,
        minter=settings.minter,
        journal_file=settings.cost_journal_file,
        observer=CostEventMetrics(),
    )
    costs = MeshEmbeddingCosts(await resources.enter_async_context(recorder))
    key, model = settings.voyage_api_key.get_secret_value(), settings.voyage_model
    size, timeout_s = settings.voyage_dimensions, settings.voyage_timeout_s
    price = settings.voyage_price_micro_usd
    voyage = VoyageEmbedder(key, costs, model=model, price_micro_usd=price, dimensions=size, timeout_s=timeout_s)
    resources.push_async_callback(voyage.close)
    redis = open_redis(settings.redis_url.get_secret_value()) if settings.redis_url else None
    if redis is not None:
        resources.push_async_callback(redis.aclose)
    return CachedEmbedder(voyage, redis, SystemClock())


async def _limit(settings: Settings, resources: AsyncExitStack) -> QueryLimit:
    if settings.ratelimit_target is None:
        return NoQueryLimit()
    channel = MeshChannel(settings.ratelimit_target, forwarded_token, tls=settings.peer_tls)
    return MeshQueryLimit(RateLimitClient(await resources.enter_async_context(channel)))


if __name__ == "__main__":
    main()
