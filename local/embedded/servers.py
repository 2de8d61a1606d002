"""Redis, Postgres and LiveKit for one mesh: embedded, or somebody's own where a URL names them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from local.data_folder import DataFolder
from local.embedded import livekit, livekit_binary, postgres, redis
from local.embedded.livekit import Livekit
from local.embedded.postgres import PostgresUrls
from local.errors import LocalError
from local.processes.ports import PortBlock
from local.processes.process_spec import ProcessSpec
from local.progress import Progress


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and the processes of those that are ours; "" and None where there is none."""

    specs: Sequence[ProcessSpec] = ()
    redis_url: str = ""
    postgres_urls: PostgresUrls | None = None
    livekit: Livekit | None = None

    def livekit_variables(self) -> Mapping[str, str]:
        """What a service is told of LiveKit."""
        if self.livekit is None:
            return {}
        return {"URL": self.livekit.url, "API_KEY": self.livekit.api_key, "API_SECRET": self.livekit.api_secret}


async def prepare_servers(
    folder: DataFolder,
    block: PortBlock,
    wanted: Sequence[str],
    webhook_url: str | None,
    outer: Mapping[str, str],
    progress: Progress,
) -> Servers:
    """Everything that must stand before the processes start: binaries, data folders, configurations, roles.

    Raises:
        LocalError: one line that says what to do.
    """
    parts: list[Servers] = []
    if "redis" in wanted:
        parts.append(await _redis(folder, block, outer))
    if "postgres" in wanted:
        parts.append(await _postgres(folder, block, outer, progress))
    if "livekit" in wanted:
        parts.append(await _livekit(folder, block, webhook_url, outer, progress))
    return Servers(
        specs=[spec for part in parts for spec in part.specs],
        redis_url="".join(part.redis_url for part in parts),
        postgres_urls=next((part.postgres_urls for part in parts if part.postgres_urls), None),
        livekit=next((part.livekit for part in parts if part.livekit), None),
    )


async def _redis(folder: DataFolder, block: PortBlock, outer: Mapping[str, str]) -> Servers:
    given = outer.get("REDIS_URL")
    if given:
        if not await redis.answers(given):
            raise LocalError(f"REDIS_URL: {_place(given)} does not answer PING; start it, or unset REDIS_URL")
        return Servers(redis_url=given)
    port = block.next()
    return Servers(specs=[redis.prepare(folder, port)], redis_url=redis.url(port, folder.secrets()["redis"]))


async def _postgres(folder: DataFolder, block: PortBlock, outer: Mapping[str, str], progress: Progress) -> Servers:
    given = outer.get("DATABASE_URL")
    if given:
        # Derived, not random: every mesh that shares this server must know the roles by the same passwords.
        owner, app = (_derived(given, role) for role in (postgres.OWNER_ROLE, postgres.APP_ROLE))
        return Servers(postgres_urls=await postgres.bootstrap(given, owner, app))
    port = block.next()
    if not (folder.path / "postgres" / "PG_VERSION").exists():
        progress("making the Postgres data folder")
    secrets = folder.secrets()
    spec = await postgres.prepare(folder, port)
    admin = postgres.admin_url(port, secrets["postgres_admin"])

    async def bootstrap() -> None:
        await postgres.bootstrap(admin, secrets["postgres_owner"], secrets["postgres_app"])

    urls = postgres.role_urls(admin, secrets["postgres_owner"], secrets["postgres_app"])
    return Servers(specs=[replace(spec, after_ready=bootstrap)], postgres_urls=urls)


async def _livekit(
    folder: DataFolder, block: PortBlock, webhook_url: str | None, outer: Mapping[str, str], progress: Progress
) -> Servers:
    given = outer.get("LIVEKIT_URL")
    if given:
        key, secret = outer.get("LIVEKIT_API_KEY"), outer.get("LIVEKIT_API_SECRET")
        if not key or not secret:
            raise LocalError("LIVEKIT_URL needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET beside it")
        return Servers(livekit=Livekit(given, key, secret))
    binary = await livekit_binary.find_or_build(progress)
    ports = (block.next(), block.next())
    spec = await asyncio.to_thread(livekit.prepare, folder, binary, ports, webhook_url)
    return Servers(specs=[spec], livekit=livekit.endpoint(ports[0], folder.secrets()["livekit"]))


def _derived(admin_url: str, role: str) -> str:
    return hmac.new(admin_url.encode(), role.encode(), hashlib.sha256).hexdigest()


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
