"""The example backend of examples/backend, served in this process, so that it ends with it."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

import examples.backend
from examples.backend.app import make_app
from examples.backend.store import TenantStore, read_tenants
from hocket.chassis.auth import TokenVerifier
from local.data_folder import DataFolder
from local.processes.ports import HOST

TENANTS_FILE = Path(examples.backend.__path__[0]) / "tenants.json"


@dataclass(frozen=True, slots=True)
class BackendSocket:
    """A bound socket that is not served yet: the mesh needs the URL before the backend has the mesh's secret."""

    bound: socket.socket

    @classmethod
    @contextmanager
    def bind(cls) -> Generator[BackendSocket, None, None]:
        """Bind a free port on loopback and close it on exit."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
            bound.bind((HOST, 0))
            yield cls(bound)

    @property
    def url(self) -> str:
        """Base URL of the backend."""
        return f"http://{HOST}:{self.bound.getsockname()[1]}"


@asynccontextmanager
async def serve_backend(
    backend: BackendSocket, data_dir: Path, tenants: dict[str, TenantStore] | None = None
) -> AsyncGenerator[Mapping[str, TenantStore], None]:
    """Serve the backend until the block ends.

    Args:
        backend: the bound socket.
        data_dir: data folder of the mesh that calls the backend; its secret verifies the tokens.
        tenants: tenant id -> data; None for the tenants of examples/backend/tenants.json.

    Yields:
        tenant id -> data, which changes as the mesh writes to the backend.
    """
    stores = read_tenants(TENANTS_FILE) if tenants is None else tenants
    verifier = TokenVerifier(secret=DataFolder(data_dir).secrets()["jwt"])
    runner = web.AppRunner(make_app(verifier, stores), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, backend.bound).start()
        yield stores
    finally:
        await runner.cleanup()
