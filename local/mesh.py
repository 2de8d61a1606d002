"""The mesh as one object: start it, call its services, kill and restart processes, stop it.

Example:
    async with Mesh.start(Path(".hocket/demo")) as mesh:
        token = mesh.minter.source("acme", caller="demo")
        async with MeshChannel(mesh.targets["rag"], token) as channel:
            ...
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from hocket.chassis.auth import TokenMinter
from local import topology
from local.data_folder import DataFolder
from local.embedded.livekit import Livekit
from local.embedded.postgres import PostgresUrls
from local.embedded.servers import Servers, prepare_servers
from local.errors import LocalError
from local.processes import orphans
from local.processes.commands import run_command
from local.processes.health_check import is_serving
from local.processes.ports import HOST, PortBlock
from local.processes.process_spec import ProcessSpec
from local.processes.supervisor import Supervisor
from local.progress import Progress, no_progress
from local.topology import NOUNS, MeshConfig, Ports, Service

__all__ = ["SERVERS", "SERVICES", "Livekit", "LocalError", "Mesh", "PostgresUrls"]

SERVERS = topology.SERVERS
SERVICES = NOUNS
_SERVICE_STOP_GRACE_S = 15.0
_MIGRATION_TIMEOUT_S = 900.0  # includes the imports of the command on a busy machine


class Mesh:
    """A running mesh on loopback.

    Attributes:
        targets: noun -> gRPC target "127.0.0.1:port", for `MeshChannel`.
        ops_urls: noun -> "http://127.0.0.1:port", which serves /livez, /readyz and /metrics.
        http_url: rooms API and webhook receiver of the media gateway; "" without the gateway.
        minter: signs tokens that every service accepts, for instance `mesh.minter.mint("acme", caller="demo")`.
        livekit: URL and credentials of the LiveKit server; None if it was not started.
        redis_url: redis:// URL with its password; "" if it was not started.
        postgres_urls: URLs of the two roles; None if it was not started.
        data_dir: data folder; logs are in `data_dir/logs/<name>.log`.
    """

    def __init__(
        self,
        folder: DataFolder,
        supervisor: Supervisor,
        servers: Servers,
        ports: Mapping[str, Ports],
        scratch: Path,
    ) -> None:
        """Call `Mesh.start` instead."""
        self._folder = folder
        self._supervisor = supervisor
        self._scratch = scratch
        self.data_dir = folder.path
        self.targets: Mapping[str, str] = {noun: f"{HOST}:{p.grpc}" for noun, p in ports.items()}
        self.ops_urls: Mapping[str, str] = {noun: f"http://{HOST}:{p.ops}" for noun, p in ports.items()}
        self.http_url = next((f"http://{HOST}:{p.http}" for p in ports.values() if p.http), "")
        self.minter = TokenMinter(folder.secrets()["jwt"])
        self.livekit = servers.livekit
        self.redis_url = servers.redis_url
        self.postgres_urls = servers.postgres_urls

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        data_dir: Path,
        *,
        services: Sequence[str] = SERVICES,
        servers: Sequence[str] | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
        port_base: int = 0,
        progress: Progress | None = None,
    ) -> AsyncGenerator[Mesh, None]:
        """Start `services` and the servers they need, wait until each is healthy, and stop everything on exit.

        Args:
            data_dir: data folder; one mesh at a time may use it.
            services: nouns to start. Targets of other services stay unset, so that callers run without them.
            servers: members of "redis", "postgres", "livekit"; None starts those that `services` need.
            env: noun -> environment variables that override all others, for instance
                {"media_gateway": {"HOCKET_MEDIA_GATEWAY_BACKEND_URL": "http://127.0.0.1:1234"}}.
            port_base: first of 32 consecutive ports; 0 picks a free block.
            progress: called with one line per step, for instance "ratelimit is ready (1.2 s)".

        Raises:
            LocalError: The mesh cannot start. The message contains the fix; all started processes were stopped.
        """
        report = progress or no_progress
        chosen = [topology.find_service(noun) for noun in _known(services, SERVICES)]
        wanted = _known(servers, SERVERS) if servers is not None else sorted({s for c in chosen for s in c.servers})
        with DataFolder(data_dir).open() as folder, PortBlock.claim(port_base) as block:
            await orphans.end_orphans(folder)
            ports = {c.noun: Ports(block.next(), block.next(), block.next() if c.http else 0) for c in chosen}
            webhook = next((f"http://{HOST}:{p.http}{topology.WEBHOOK_PATH}" for p in ports.values() if p.http), None)
            found = await prepare_servers(folder, block, wanted, webhook, os.environ, report)
            # Short, because socket paths in it are limited to about 100 characters.
            scratch = Path(tempfile.mkdtemp(prefix=orphans.SCRATCH_PREFIX))
            env = {c.noun: {"TMPDIR": str(scratch)} | dict((env or {}).get(c.noun, {})) for c in chosen}
            specs = [*found.specs, *(_spec(c, ports, found, folder, env[c.noun]) for c in chosen)]
            supervisor = Supervisor(specs, folder.logs, progress=report, scratch=scratch)
            mesh = cls(folder, supervisor, found, ports, scratch)
            try:
                await supervisor.start(on_change=mesh._write_state)
                mesh._write_state()
                yield mesh
            finally:
                await supervisor.stop()
                folder.clear_state()

    def _write_state(self) -> None:
        self._folder.write_state(
            {
                **orphans.process_records({"mesh": os.getpid()})[0],
                "scratch": str(self._scratch),
                "ready": all(self.is_ready(name) for name in self.names()),
                "processes": orphans.process_records(self._supervisor.pids()),
                "targets": dict(self.targets),
                "ops_urls": dict(self.ops_urls),
                "http_url": self.http_url,
                "livekit_url": self.livekit.url if self.livekit else "",
            }
        )

    def names(self) -> Sequence[str]:
        """Return the names of all processes: embedded servers first, then services."""
        return self._supervisor.names()

    def pid(self, name: str) -> int | None:
        """Return the process id of a service or server, or None while it is down."""
        return self._supervisor.keeper(name).pid

    def is_ready(self, name: str) -> bool:
        """Return True if process `name` has been ready since its last start."""
        return self._supervisor.keeper(name).ready.is_set()

    def kill(self, name: str, *, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """Kill a service or server; it stays down until `restart`."""
        self._supervisor.keeper(name).kill(signal_number, restart=False)

    def crash(self, name: str) -> None:
        """SIGKILL a service or server; the supervisor restarts it after a backoff, as after a crash."""
        self._supervisor.keeper(name).kill(signal.SIGKILL, restart=True)

    async def restart(self, name: str) -> None:
        """Stop process `name` if it runs, start it, and wait until it is ready."""
        await self._supervisor.keeper(name).restart()

    async def wait_ready(self, name: str | None = None, *, timeout_s: float = 600) -> None:
        """Wait until process `name` is ready.

        Args:
            name: a service or server; None for all processes.
            timeout_s: limit in seconds.

        Raises:
            LocalError: A process is not ready after `timeout_s`; the message names it.
        """
        await self._supervisor.wait_ready([name] if name else self.names(), timeout_s)


def _known(names: Sequence[str], all_names: Sequence[str]) -> list[str]:
    unknown = sorted(set(names) - set(all_names))
    if unknown:
        raise LocalError(f"unknown name: {', '.join(unknown)}; choose from {', '.join(all_names)}")
    return [name for name in all_names if name in names]


def _spec(
    declared: Service,
    ports: Mapping[str, Ports],
    servers: Servers,
    folder: DataFolder,
    extra_env: Mapping[str, str],
) -> ProcessSpec:
    noun = declared.noun
    targets = {other: f"{HOST}:{p.grpc}" for other, p in ports.items()}
    config = MeshConfig(
        jwt_secret=folder.secrets()["jwt"],
        redis_url=servers.redis_url,
        postgres_app_url=servers.postgres_urls.app_url if servers.postgres_urls else "",
        postgres_owner_url=servers.postgres_urls.owner_url if servers.postgres_urls else "",
        journals=str(folder.journals),
        livekit=servers.livekit_variables(),
        targets=targets,
    )
    migration_env = topology.migration_environment(declared, config) | dict(extra_env)

    async def migrate() -> None:
        await run_command(
            declared.migration_argv,
            action=f"cannot migrate the schema of {noun}",
            env=migration_env,
            timeout_s=_MIGRATION_TIMEOUT_S,
        )

    return ProcessSpec(
        name=noun,
        argv=declared.argv,
        env=topology.service_environment(declared, ports[noun], config) | dict(extra_env),
        probe=lambda: is_serving(targets[noun]),
        depends_on=(*declared.servers, *declared.calls),
        stop_grace_s=_SERVICE_STOP_GRACE_S,
        before_start=migrate if declared.migration_argv else None,
    )
