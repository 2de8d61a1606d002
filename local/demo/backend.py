"""The example backend for a demo or a test: on a real socket, in this process, so that nothing of it stays behind."""

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
class Address:
    """A socket that is bound but not served yet, so that its URL can be told before the mesh has a secret."""

    bound: socket.socket

    @classmethod
    @contextmanager
    def claim(cls) -> Generator[Address, None, None]:
        """Hold a free port of loopback."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
            bound.bind((HOST, 0))
            yield cls(bound)

    @property
    def url(self) -> str:
        """Where the backend is, or will be."""
        return f"http://{HOST}:{self.bound.getsockname()[1]}"


@asynccontextmanager
async def serving_backend(
    address: Address, data_dir: Path, tenants: dict[str, TenantStore] | None = None
) -> AsyncGenerator[Mapping[str, TenantStore], None]:
    """Serve the example tenants, or `tenants`, to the mesh that runs in `data_dir`; gives what they have stored."""
    stores = read_tenants(TENANTS_FILE) if tenants is None else tenants
    verifier = TokenVerifier(secret=DataFolder(data_dir).secrets()["jwt"])
    runner = web.AppRunner(make_app(verifier, stores), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, address.bound).start()
        yield stores
    finally:
        await runner.cleanup()
