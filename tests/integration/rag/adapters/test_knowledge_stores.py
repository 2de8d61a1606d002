"""PostgresStore on a real Postgres, compared with MemoryStore, and isolation of tenants."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from hocket.chassis.errors import FailedPrecondition, Unavailable
from hocket.postgres.migrations import migrate
from hocket.postgres.schema_version import KnownSchema, read_migrations
from hocket.postgres.tenant_database import TenantDatabase
from services.rag import validation
from services.rag.adapters.hashed_embedder import HashedEmbedder
from services.rag.adapters.memory_store import MemoryStore
from services.rag.adapters.postgres_store import MIGRATIONS, SCHEMA, PostgresStore
from services.rag.ingest.chunking import split_into_chunks
from services.rag.ingest.documents import fingerprint, index_passage
from services.rag.text.analysis import query_terms
from tests.fakes.postgres_pooler import pooler

HOSTILE_IDS = [
    "'", "' OR '1'='1", "x'; DROP TABLE rag.documents; --", "%", "_", "*", "../../etc", 'a"b', "$1", "${jndi}", " t",
    "t ", "T", "t", "tenant-日本", "ténant", "\u202et", "\U0001f600", "null", "NULL", "None", "0", "-1", "true", "{}",
    "[]", "0x00", "00000000-0000-0000-0000-000000000000", "postgres", "public", "app.current_tenant_id", "x" * 128,
    "\\", "\\'", "a;b", "tenant\u00a0", "−", "a/b", "a:b", "#", "?", "&amp;",
]  # fmt: skip


@pytest.fixture
async def database(fresh_postgres_urls) -> AsyncIterator[TenantDatabase]:
    await migrate(fresh_postgres_urls.owner_url, SCHEMA, MIGRATIONS)
    database = TenantDatabase(fresh_postgres_urls.app_url, connections_max=3)
    yield database
    await database.close()


@pytest.fixture
def store(database) -> PostgresStore:
    return PostgresStore(database)


@pytest.fixture(params=["postgres", "memory"])
def any_store(request):
    return request.getfixturevalue("store") if request.param == "postgres" else MemoryStore()


async def put(store, tenant_id, document_id, text, *, title="note", vectors=True, **metadata) -> None:
    document = validation.validate_document(document_id, title, text, metadata)
    passages = [index_passage(document.title, chunk) for chunk in split_into_chunks(document.text, 200)]
    texts = [passage.chunk.text for passage in passages]
    made = await HashedEmbedder().embed(tenant_id, texts, query=False) if vectors else None
    await store.replace(tenant_id, document, fingerprint(document, 200), passages, made)


async def find(store, tenant_id, query, *, k=100, **filters):
    return await store.lexical(tenant_id, query_terms(query), filters, k)


async def near(store, tenant_id, query, *, k=100, model="hashed-384", **filters):
    vectors = await HashedEmbedder().embed(tenant_id, [query], query=True)
    return await store.nearest(tenant_id, model, vectors.values[0], filters, k)


async def test_document_is_stored_and_replaced_as_a_whole(any_store):
    await put(any_store, "acme", "a", "# House\nTea is free.\n# Garden\nCoffee ☕ is not.", title="Drinks", lang="en")
    (tea,) = await find(any_store, "acme", "is the tea free", k=1)
    assert (tea.document_id, tea.title, tea.text, tea.start_byte, tea.end_byte, tea.headings, tea.metadata) == (
        "a",
        "Drinks",
        "Tea is free.",
        8,
        20,
        ("House",),
        {"lang": "en"},
    )
    await put(any_store, "acme", "a", "Only milk now.", title="Drinks")
    stored = await any_store.stored("acme", "a")
    assert (stored.passages, stored.embedding_model) == (1, "hashed-384")
    assert await find(any_store, "acme", "tea coffee") == []
    assert [p.text for p in await find(any_store, "acme", "milk")] == ["Only milk now."]
    assert await any_store.stored("acme", "b") is None


async def test_filters_k_and_spelling_corrections(any_store):
    for i in range(6):
        await put(any_store, "acme", f"d{i}", "Parking is free." + " Really." * i, floor=str(i % 2))
    assert [p.document_id for p in await find(any_store, "acme", "parking", floor="1")] == ["d1", "d3", "d5"]
    assert len(await find(any_store, "acme", "parking", k=2)) == 2
    assert await find(any_store, "acme", "parking", floor="1", other="x") == []
    assert len(await find(any_store, "acme", "parck")) == 6


async def test_nearest_is_exact_within_one_model(any_store):
    await put(any_store, "acme", "a", "Parking is free.")
    await put(any_store, "acme", "b", "The coffee machine needs water.")
    await put(any_store, "acme", "c", "No vectors here.", vectors=False)
    assert [p.document_id for p in await near(any_store, "acme", "parking free", k=1)] == ["a"]
    assert {p.document_id for p in await near(any_store, "acme", "parking")} == {"a", "b"}
    assert await near(any_store, "acme", "parking", model="other") == []
    assert (await any_store.stored("acme", "c")).embedding_model is None


async def test_documents_are_listed_in_code_point_order(any_store):
    names = ["b", "a", "é", "B", "z", "\U0001f600"]
    for name in names:
        await put(any_store, "acme", name, "Some text.")
    listed = await any_store.documents("acme", "", 4)
    rest = await any_store.documents("acme", listed[-1].document_id, 4)
    assert [info.document_id for info in [*listed, *rest]] == sorted(names)


async def test_largest_document_is_stored_found_and_deleted(any_store):
    text = " ".join(f"word{i % 30_000} speaks of tea." for i in range(50_000))[: validation.TEXT_BYTES_MAX - 60]
    text += " The walrus sleeps at the very end."
    await put(any_store, "acme", "large", text, vectors=False)
    (walrus,) = await find(any_store, "acme", "where does the walrus sleep", k=1)
    assert text.encode()[walrus.start_byte : walrus.end_byte].decode() == walrus.text
    assert "walrus" in walrus.text
    passages = (await any_store.stored("acme", "large")).passages
    assert await any_store.delete_document("acme", "large") == passages > 4000
    assert await find(any_store, "acme", "walrus tea") == []


async def test_deletions_return_the_counts(any_store):
    await put(any_store, "acme", "a", "One.\n# Two\nTwo.")
    await put(any_store, "acme", "b", "Three.")
    assert await any_store.delete_document("acme", "a") == 2
    assert await any_store.delete_document("acme", "a") is None
    assert await any_store.delete_tenant("acme") == (1, 1)
    assert await any_store.delete_tenant("acme") == (0, 0)
    assert await find(any_store, "acme", "three") == []


async def test_scores_equal_those_of_the_memory_store_after_replacements(store):
    memory, dice = MemoryStore(), random.Random(7)
    words = ["tea", "coffee", "milk", "water", "juice", "lift", "badge", "floor"]
    for _ in range(40):
        document_id = f"d{dice.randrange(20)}"
        text = "\n\n".join(" ".join(dice.choices(words, k=dice.randrange(1, 30))) + "." for _ in range(3))
        await asyncio.gather(*(put(where, "acme", document_id, text) for where in (store, memory)))
    await asyncio.gather(*(where.delete_document("acme", "d3") for where in (store, memory)))
    for query in ("tea", "coffee machine on the floor", "badge lift water", "cofee"):
        real, twin = await find(store, "acme", query), await find(memory, "acme", query)
        assert [p.score for p in real] == pytest.approx([p.score for p in twin])
        assert {(p.document_id, p.start_byte) for p in real} == {(p.document_id, p.start_byte) for p in twin}


async def test_concurrent_writers_of_a_tenant_keep_its_counts_correct(store, database):
    await asyncio.gather(*(put(store, "acme", f"d{i % 4}", f"Text number {i}. More text.") for i in range(24)))
    async with database.tenant("acme") as connection:
        row = await connection.fetchrow("SELECT passages, terms FROM rag.corpora")
        counted = await connection.fetchrow("SELECT count(*) AS passages, sum(length) AS terms FROM rag.passages")
        postings = await connection.fetchval("SELECT sum(frequency) FROM rag.postings")
    assert tuple(row) == tuple(counted)
    assert (row["passages"], row["terms"]) == (4, postings)


async def test_same_ids_of_two_tenants_are_isolated(store):
    for document_id in HOSTILE_IDS:
        await put(store, "acme", document_id, "The walrus of acme.", owner="acme")
        await put(store, "globex", document_id, "The penguin of globex.", owner="globex")
    for tenant_id, animal, other in (("acme", "walrus", "penguin"), ("globex", "penguin", "walrus")):
        found = await find(store, tenant_id, "walrus penguin")
        assert {p.document_id for p in found} == set(HOSTILE_IDS)
        assert {p.metadata["owner"] for p in [*found, *await near(store, tenant_id, "walrus penguin")]} == {tenant_id}
        assert all(animal in p.text and other not in p.text for p in found)
    for document_id in HOSTILE_IDS[::2]:
        assert await store.delete_document("acme", document_id) == 1
    assert len(await find(store, "globex", "penguin")) == len(HOSTILE_IDS)
    assert await store.delete_tenant("acme") == (len(HOSTILE_IDS) // 2, len(HOSTILE_IDS) // 2)
    assert len(await store.documents("globex", "", 1000)) == len(HOSTILE_IDS)


async def test_tenant_ids_with_sql_are_plain_values(store):
    for tenant_id in HOSTILE_IDS:
        await put(store, tenant_id, "same", "A secret walrus.", owner=tenant_id)
    for tenant_id in HOSTILE_IDS:
        assert [p.metadata["owner"] for p in await find(store, tenant_id, "walrus")] == [tenant_id]
    assert await find(store, "nobody", "walrus") == []


async def test_interleaved_calls_on_one_pool_are_isolated(store):
    tenants = [f"tenant-{i}" for i in range(12)]
    for tenant_id in tenants:
        await put(store, tenant_id, "same", "A secret walrus.", owner=tenant_id)

    async def one(i: int) -> None:
        tenant_id = tenants[i % len(tenants)]
        search = find if i % 2 else near
        assert [p.metadata["owner"] for p in await search(store, tenant_id, "walrus")] == [tenant_id]

    await asyncio.gather(*(one(i) for i in range(240)))


async def test_row_level_security_covers_queries_without_a_tenant_predicate(store, database, fresh_postgres_urls):
    await put(store, "acme", "a", "Ours.")
    await put(store, "globex", "a", "Theirs.")
    for table in ("documents", "passages", "postings", "corpora"):
        async with database.tenant("acme") as connection:
            rows = await connection.fetch(f"SELECT DISTINCT tenant_id FROM rag.{table}")  # noqa: S608 - a name of ours
        assert [row["tenant_id"] for row in rows] == ["acme"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant("acme") as connection:
            await connection.execute("INSERT INTO rag.corpora (tenant_id) VALUES ('initech')")
    async with database.tenant("acme") as connection:
        assert await connection.execute("UPDATE rag.documents SET title = 'x'") == "UPDATE 1"
    for url in (fresh_postgres_urls.app_url, fresh_postgres_urls.owner_url):
        # Without a tenant no role sees a row, the owner included.
        bare = await asyncpg.connect(url)
        assert await bare.fetchval("SELECT count(*) FROM rag.documents") == 0
        await bare.close()


async def test_pooled_connection_keeps_no_tenant(fresh_postgres_urls, store):
    await put(store, "acme", "a", "Ours.")
    one = TenantDatabase(fresh_postgres_urls.app_url, connections_max=1)
    async with one.tenant("acme") as connection:
        assert await connection.fetchval("SELECT count(*) FROM rag.documents") == 1
    async with one.tenant("globex") as connection:
        assert await connection.fetchval("SELECT count(*) FROM rag.documents") == 0
    await one.close()


async def test_failed_replacement_changes_nothing(store, monkeypatch):
    await put(store, "acme", "a", "The old walrus.")
    monkeypatch.setattr("services.rag.adapters.statements.COUNT_CORPUS", "SELECT 1/0, $1::text, $2::int, $3::int")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await put(store, "acme", "a", "The new penguin.")
    assert [p.text for p in await find(store, "acme", "walrus penguin")] == ["The old walrus."]


async def test_table_without_forced_row_level_security_is_refused(fresh_postgres_urls, store):
    owner = await asyncpg.connect(fresh_postgres_urls.owner_url)
    try:
        await owner.execute("ALTER TABLE rag.postings NO FORCE ROW LEVEL SECURITY")
    finally:
        await owner.close()
    with pytest.raises(FailedPrecondition, match="postings"):
        await store.check()


async def test_empty_database_is_not_ready(fresh_postgres_urls):
    schema = KnownSchema(SCHEMA, read_migrations(MIGRATIONS), "hocket-rag migrate")
    database = TenantDatabase(fresh_postgres_urls.app_url, schema=schema)
    with pytest.raises(FailedPrecondition, match="hocket-rag migrate"):
        await PostgresStore(database).check()
    await database.close()


async def test_pooler_in_transaction_mode_is_served_without_prepared_statements(fresh_postgres_urls, database):
    schema = KnownSchema(SCHEMA, read_migrations(MIGRATIONS), "hocket-rag migrate")
    async with pooler(fresh_postgres_urls.app_url) as pooled:
        behind = TenantDatabase(pooled.url, schema=schema, connections_max=2)
        store = PostgresStore(behind)
        await store.check()
        await put(store, "acme", "a", "The walrus is here. " * 20)
        assert await find(store, "acme", "walrus")
        assert await near(store, "acme", "walrus")
        assert await store.delete_tenant("acme") == (1, 2)
        async with behind.tenant("acme") as connection:
            assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
        await behind.close()
        assert pooled.faults == []
        # Without the pooler the statements stay prepared.
        async with database.tenant("acme") as connection:
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") > 0


async def test_migrations_are_applied_once(fresh_postgres_urls):
    first, second = [await migrate(fresh_postgres_urls.owner_url, SCHEMA, MIGRATIONS) for _ in range(2)]
    assert (first, second) == (["0001_knowledge.sql"], [])


async def test_search_over_its_budget_is_cancelled_and_the_connection_reused(fresh_postgres_urls, store):
    await put(store, "acme", "a", "Tea.")
    one = TenantDatabase(fresh_postgres_urls.app_url, connections_max=1)

    async def sleep() -> None:
        async with one.tenant("acme") as connection:
            await connection.execute("SELECT pg_sleep(30)")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleep(), 0.2)
    assert [p.document_id for p in await find(PostgresStore(one), "acme", "tea")] == ["a"]
    await one.close()


@asynccontextmanager
async def unreachable() -> AsyncIterator[PostgresStore]:
    database = TenantDatabase("postgresql://hocket_app@127.0.0.1:1/hocket")
    try:
        yield PostgresStore(database)
    finally:
        await database.close()


async def test_every_call_without_postgres_is_unavailable():
    async with unreachable() as store:
        for call in (find(store, "acme", "x y z"), store.delete_tenant("acme"), store.documents("acme", "", 1)):
            with pytest.raises(Unavailable):
                await call


async def test_queries_isolate_tenants_without_row_level_security(store, fresh_postgres_urls):
    """Tenants are separated by predicates and by policies; the predicates alone must suffice."""
    owner = await asyncpg.connect(fresh_postgres_urls.owner_url)
    for table in ("corpora", "documents", "passages", "postings"):
        await owner.execute(f"ALTER TABLE rag.{table} DISABLE ROW LEVEL SECURITY")
    await owner.close()
    await put(store, "acme", "a", "The walrus eats clams.", lang="en")
    await put(store, "other", "b", "The walrus eats mussels and the walruss sleeps.", lang="en")
    await put(store, "other", "c", "Walrus.", title="walrus", lang="en")
    for filters in ({}, {"lang": "en"}):
        # k = 1: a better passage of another tenant would displace it.
        assert [p.document_id for p in await find(store, "acme", "walrus", k=1, **filters)] == ["a"]
        assert [p.document_id for p in await near(store, "acme", "walrus", k=1, **filters)] == ["a"]
    # Spelling corrections do not use the terms of another tenant.
    assert await find(store, "acme", "musels") == []
    assert [info.document_id for info in await store.documents("acme", "", 10)] == ["a"]
    assert await store.stored("acme", "b") is None
    assert await store.delete_document("acme", "b") is None
    assert await store.delete_tenant("acme") == (1, 1)
    assert {p.document_id for p in await find(store, "other", "walrus")} == {"b", "c"}
