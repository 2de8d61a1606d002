"""Redis, Postgres and LiveKit of one mesh: embedded, or existing servers named by URLs in the environment."""

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
    """Addresses of the servers; "" and None for servers that the mesh does not use.

    Attributes:
        specs: processes of the embedded servers.
        redis_url: redis:// URL with its password.
        postgres_urls: URLs of both roles.
        livekit: URL and credentials.
    """

    specs: Sequence[ProcessSpec] = ()
    redis_url: str = ""
    postgres_urls: PostgresUrls | None = None
    livekit: Livekit | None = None

    def livekit_variables(self) -> Mapping[str, str]:
        """Return the LiveKit settings of a service, without prefix."""
        if self.livekit is None:
            return {}
        return {"URL": self.livekit.url, "API_KEY": self.livekit.api_key, "API_SECRET": self.livekit.api_secret}


async def prepare_servers(
    folder: DataFolder,
    block: PortBlock,
    names: Sequence[str],
    webhook_url: str | None,
    environment: Mapping[str, str],
    progress: Progress,
) -> Servers:
    """Prepare binaries, data folders, configurations and roles before any process starts.

    Args:
        folder: data folder of the mesh.
        block: source of free ports.
        names: servers to prepare, members of `topology.SERVERS`.
        webhook_url: receiver of LiveKit events; None for none.
        environment: REDIS_URL, DATABASE_URL or LIVEKIT_URL in it replaces the embedded server.
        progress: called with one line per slow step.

    Raises:
        LocalError: A server cannot be prepared; the message contains the fix.
    """
    parts: list[Servers] = []
    if "redis" in names:
        parts.append(await _redis(folder, block, environment))
    if "postgres" in names:
        parts.append(await _postgres(folder, block, environment, progress))
    if "livekit" in names:
        parts.append(await _livekit(folder, block, webhook_url, environment, progress))
    return Servers(
        specs=[spec for part in parts for spec in part.specs],
        redis_url="".join(part.redis_url for part in parts),
        postgres_urls=next((part.postgres_urls for part in parts if part.postgres_urls), None),
        livekit=next((part.livekit for part in parts if part.livekit), None),
    )


async def _redis(folder: DataFolder, block: PortBlock, environment: Mapping[str, str]) -> Servers:
    given = environment.get("REDIS_URL")
    if given:
        problem = await redis.problem(given)
        if problem:
            raise LocalError(
                f"REDIS_URL: {_host_and_port(given)} does not answer PING ({problem}); start that server, correct the"
                " URL, or unset REDIS_URL"
            )
        return Servers(redis_url=given)
    port = block.next()
    return Servers(specs=[redis.prepare(folder, port)], redis_url=redis.url(port, folder.secrets()["redis"]))


async def _postgres(
    folder: DataFolder, block: PortBlock, environment: Mapping[str, str], progress: Progress
) -> Servers:
    given = environment.get("DATABASE_URL")
    if given:
        # Derived, not random: all meshes that share this server must use the same passwords for the roles.
        owner, app = (_derived_password(given, role) for role in (postgres.OWNER_ROLE, postgres.APP_ROLE))
        return Servers(postgres_urls=await postgres.bootstrap(given, owner, app))
    port = block.next()
    if not (folder.path / "postgres" / "PG_VERSION").exists():
        progress("creating the Postgres data folder")
    secrets = folder.secrets()
    spec = await postgres.prepare(folder, port)
    admin = postgres.admin_url(port, secrets["postgres_admin"])

    async def bootstrap() -> None:
        await postgres.bootstrap(admin, secrets["postgres_owner"], secrets["postgres_app"])

    urls = postgres.role_urls(admin, secrets["postgres_owner"], secrets["postgres_app"])
    return Servers(specs=[replace(spec, after_ready=bootstrap)], postgres_urls=urls)


async def _livekit(
    folder: DataFolder, block: PortBlock, webhook_url: str | None, environment: Mapping[str, str], progress: Progress
) -> Servers:
    given = environment.get("LIVEKIT_URL")
    if given:
        key, secret = environment.get("LIVEKIT_API_KEY"), environment.get("LIVEKIT_API_SECRET")
        if not key or not secret:
            raise LocalError(
                "LIVEKIT_URL is set without credentials; set LIVEKIT_API_KEY and LIVEKIT_API_SECRET as well"
            )
        return Servers(livekit=Livekit(given, key, secret))
    binary = await livekit_binary.find_or_build(progress)
    ports = (block.next(), block.next())
    spec = await asyncio.to_thread(livekit.prepare, folder, binary, ports, webhook_url)
    return Servers(specs=[spec], livekit=livekit.endpoint(ports[0], folder.secrets()["livekit"]))


def _derived_password(admin_url: str, role: str) -> str:
    return hmac.new(admin_url.encode(), role.encode(), hashlib.sha256).hexdigest()


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
