"""Migration files, and which servers fit a schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from hocket.postgres.schema_version import KnownSchema, Migration, SchemaState, read_migrations

ROOT = Path(__file__).resolve().parents[3]


def known(*since: int) -> tuple[Migration, ...]:
    """Migrations 1, 2, …, compatible with servers since the given versions."""
    return tuple(Migration(i, f"{i:04}_m.sql", "SELECT 1", s) for i, s in enumerate(since, 1))


def applied(*since: int | None) -> dict[str, int | None]:
    return {f"{i:04}_m.sql": s for i, s in enumerate(since, 1)}


@pytest.mark.parametrize(
    ("build", "schema", "misfit"),
    [
        (known(1), applied(), "is at version 0, this server needs 1: run `hocket-x migrate`"),
        (known(1, 1), applied(1), "is at version 1, this server needs 2"),
        (known(1, 1), applied(1, 1), ""),
        # Expand: the old server serves on the new schema. Contract: it does not, the one between does.
        (known(1), applied(1, 1), ""),
        (known(1), applied(1, 1, 2), "only servers that know version 2 or later may use; this build knows 1"),
        (known(1, 1), applied(1, 1, 2), ""),
        # An incompatible file stays incompatible, whatever follows it.
        (known(1), applied(1, 2, 1), "version 2 or later"),
        # Rows of a release that recorded no compatibility: of a known file it is declared, of another assumed absent.
        (known(1), applied(None), ""),
        (known(1), applied(None, None), "version 2 or later"),
    ],
)
def test_server_fits_a_schema_that_is_new_enough_and_accepts_it(build, schema, misfit):
    found = KnownSchema("x", build, "hocket-x migrate").misfit(SchemaState(build, schema))
    assert misfit in found
    assert bool(misfit) == bool(found)


def test_schema_of_another_branch_is_refused():
    state = SchemaState(known(1, 1), {"0001_m.sql": 1, "0002_other.sql": 1})
    assert "0002_other.sql" in state.conflict()


def test_pending_files_are_in_order_and_version_is_that_of_the_last_applied_file():
    state = SchemaState(known(1, 1, 1), applied(1))
    assert ([m.version for m in state.pending], state.version, state.wanted) == ([2, 3], 1, 3)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("0002_b.sql", "-- compatible-since: 1\n", "must be 0001_<words>.sql"),
        ("first.sql", "-- compatible-since: 1\n", "must be 0001_<words>.sql"),
        ("0001_a.sql", "SELECT 1;", "compatible-since"),
        ("0001_a.sql", "-- compatible-since: 2\n", "compatible-since"),
        ("0001_a.sql", "-- compatible-since: 1\n-- transaction: maybe\n", "transaction: none"),
    ],
)
def test_wrong_file_is_named(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=problem) as caught:
        read_migrations(tmp_path)
    assert name in str(caught.value)


def test_file_without_transaction_is_split_into_its_statements(tmp_path):
    (tmp_path / "0001_a.sql").write_text(
        "-- compatible-since: 1\n-- transaction: none\n"
        "DROP INDEX CONCURRENTLY IF EXISTS a;\n-- Why.\nCREATE INDEX CONCURRENTLY a\n    ON t (b);\n"
    )
    (migration,) = read_migrations(tmp_path)
    assert [s.splitlines()[-1].strip() for s in migration.statements] == [
        "DROP INDEX CONCURRENTLY IF EXISTS a;",
        "ON t (b);",
    ]


@pytest.mark.parametrize("noun", ["rag", "ratelimit"])
def test_shipped_migrations_are_valid(noun):
    assert read_migrations(ROOT / "services" / noun / "adapters" / "migrations")
