"""The mesh as one object: start it, call it, hurt it, stop it. For the demo, the end-to-end tests and `hocket-local`.

    async with Mesh.start(Path(".hocket/demo")) as mesh:
        token = mesh.minter.source("acme", caller="demo")
        async with MeshChannel(mesh.targets["rag"], token) as channel:
            ...
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from chassis.auth import TokenMinter

Progress = Callable[[str], None]
SERVERS = ("redis", "postgres", "livekit")
SERVICES = ("ratelimit", "rag", "vision", "llm_router", "speech", "media_gateway")


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """One database and its two roles: `app_url` serves (row-level security binds it), `owner_url` migrates."""

    app_url: str
    owner_url: str


@dataclass(frozen=True, slots=True)
class Livekit:
    """A LiveKit server: `url` is ws://host:port, as `rtc.Room.connect` and `api.LiveKitAPI` take it."""

    url: str
    api_key: str
    api_secret: str


class Mesh:
    """A running mesh on loopback.

    Attributes:
        targets: noun -> "127.0.0.1:port" for `MeshChannel`.
        ops_urls: noun -> "http://127.0.0.1:port", below which /livez, /readyz and /metrics are.
        http_url: the media gateway's JSON front end (rooms) and webhook receiver.
        minter: signs tokens that every service accepts: `mesh.minter.mint("acme", caller="demo")`.
        livekit: url, api_key, api_secret of the LiveKit server; None when no service and no caller asked for one.
        redis_url: redis:// with its password; "" when not started.
        postgres_urls: app_url and owner_url; None when not started.
        data_dir: the folder of this mesh; logs are in `data_dir/logs/<name>.log`.
    """

    targets: Mapping[str, str]
    ops_urls: Mapping[str, str]
    http_url: str
    minter: TokenMinter
    livekit: Livekit | None
    redis_url: str
    postgres_urls: PostgresUrls | None
    data_dir: Path

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        services: Sequence[str] = SERVICES,
        servers: Sequence[str] | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
        port_base: int = 0,
        progress: Progress | None = None,
    ) -> AbstractAsyncContextManager[Mesh]:
        """Start `services` and what they need, wait until each is healthy, and stop all of it on leaving.

        Args:
            data_dir: its own folder; a second mesh in the same folder is refused with LocalError.
            services: nouns to start; targets of services left out are not set, so that callers of them do without.
            servers: of "redis", "postgres", "livekit"; None starts those that `services` need.
            env: noun -> further environment variables, for instance
                {"media_gateway": {"HOCKET_MEDIA_GATEWAY_BACKEND_URL": "http://127.0.0.1:1234"}}; these win.
            port_base: first of 32 neighbouring ports; 0 finds a free block.
            progress: called with one line per step ("ratelimit is ready (1.2 s)").

        Raises:
            LocalError: one line that says what to do; everything started until then has been stopped.
        """
        raise NotImplementedError

    def pid(self, name: str) -> int | None:
        """The process id of a service or server now, or None while it is down."""
        raise NotImplementedError

    def kill(self, name: str, *, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """End a service or server at once; it stays down until `restart`."""
        raise NotImplementedError

    def crash(self, name: str) -> None:
        """SIGKILL, as a crash would be: the supervisor starts the process again by itself, after a backoff."""
        raise NotImplementedError

    async def restart(self, name: str) -> None:
        """Start `name` again (stopping it in its own order when it runs) and wait until it is ready."""
        raise NotImplementedError

    async def wait_ready(self, name: str | None = None, *, timeout_s: float = 60) -> None:
        """Wait until `name`, or all of the mesh, is ready. Raises LocalError after `timeout_s` seconds."""
        raise NotImplementedError
