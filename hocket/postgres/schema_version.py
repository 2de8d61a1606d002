"""Versions of a Postgres schema: numbered migration files, and which servers fit a schema. Pure but for reading files.

A file is `NNNN_name.sql`; the version of a schema is the number of its last applied file. The first lines declare:

    -- compatible-since: 3      servers that know version 3 or later read and write this schema; required
    -- transaction: none        for statements that refuse a transaction, such as CREATE INDEX CONCURRENTLY

A file without transaction is run again from its start after an interruption: each statement ends a line with `;` and
may be repeated (DROP INDEX CONCURRENTLY IF EXISTS, then CREATE INDEX CONCURRENTLY).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_HEADER = re.compile(r"^-- (compatible-since|transaction): (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file.

    Attributes:
        version: Version of the schema after it, 1 or more.
        name: Name of the file.
        sql: Its text.
        compatible_since: Lowest version that a server must know to serve on the schema with this migration.
        in_transaction: Whether it runs in one transaction.
    """

    version: int
    name: str
    sql: str
    compatible_since: int
    in_transaction: bool = True

    @property
    def statements(self) -> list[str]:
        """Parts to execute one by one: the whole file, or each statement of a file without transaction."""
        if self.in_transaction:
            return [self.sql]
        return [part for part in re.split(r"(?<=;)\s*\n", self.sql.strip()) if not re.fullmatch(r"(\s*--.*\n?)*", part)]


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Return the migrations of `folder` in order.

    Raises:
        ValueError: A name, a number or a declaration is wrong; the message names the file.
    """
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        version, sql = len(found) + 1, path.read_text(encoding="utf-8")
        name = _NAME.fullmatch(path.name)
        if name is None or int(name[1]) != version:
            raise ValueError(f"{path}: the name must be {version:04}_<words>.sql, numbered without a gap")
        declared: dict[str, str] = dict(_HEADER.findall(sql))
        since, transaction = declared.get("compatible-since", ""), declared.get("transaction", "one")
        if not since.isdecimal() or not 1 <= int(since) <= version or transaction not in {"one", "none"}:
            raise ValueError(
                f"{path}: declare `-- compatible-since: <1 to {version}>`, and `-- transaction: none` or not"
            )
        found.append(Migration(version, path.name, sql, int(since), transaction == "one"))
    return tuple(found)


@dataclass(frozen=True)
class SchemaState:
    """What a schema holds, beside what this build knows.

    Attributes:
        known: Migrations of this build.
        applied: Name of each applied migration -> its compatible_since; None where an older runner recorded none.
    """

    known: Sequence[Migration]
    applied: Mapping[str, int | None]

    @property
    def version(self) -> int:
        """Version of the schema, 0 if it is empty."""
        return max((int(name[:4]) for name in self.applied), default=0)

    @property
    def wanted(self) -> int:
        """Version that this build needs."""
        return len(self.known)

    @property
    def pending(self) -> Sequence[Migration]:
        """Migrations of this build that the schema lacks."""
        return [migration for migration in self.known if migration.name not in self.applied]

    @cached_property
    def compatible_since(self) -> int:
        """Lowest version that a server must know to serve on the schema."""
        shipped = {migration.name: migration.compatible_since for migration in self.known}
        return max((since or shipped.get(name) or int(name[:4]) for name, since in self.applied.items()), default=0)

    def conflict(self) -> str:
        """Return why neither this build's migrations may run nor its server serve on the schema; "" if nothing."""
        names = {migration.name for migration in self.known}
        foreign = sorted(name for name in self.applied if name not in names and int(name[:4]) <= self.wanted)
        if foreign:
            return f"has {', '.join(foreign)} applied, which this build does not have: it comes from another branch"
        if self.version > self.wanted < self.compatible_since:
            return (
                f"is at version {self.version}, which only servers that know version {self.compatible_since} or later"
                f" may use; this build knows {self.wanted}: run a newer release"
            )
        return ""


@dataclass(frozen=True, slots=True)
class KnownSchema:
    """Schema of a service, as its build knows it.

    Attributes:
        name: Name of the schema.
        migrations: Migrations of this build.
        command: Command that applies them, for messages.
    """

    name: str
    migrations: Sequence[Migration]
    command: str

    def misfit(self, state: SchemaState) -> str:
        """Return why the server must not use the schema, with the fix; "" if it may."""
        conflict = state.conflict()
        if conflict:
            return f"schema {self.name} {conflict}"
        if state.pending:
            return (
                f"schema {self.name} is at version {state.version}, this server needs {state.wanted}: run"
                f" `{self.command}`; the server checks again every 2 s"
            )
        return ""
