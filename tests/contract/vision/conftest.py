"""Vision servers with settings of the test, and channels to them as any tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
import simplejpeg

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import MeshServer
from services.vision.__main__ import build
from services.vision.settings import Settings

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)


@asynccontextmanager
async def _serving(**values: object) -> AsyncIterator[MeshServer]:
    settings = Settings(**{"jwt_secret": SECRET, "drain_grace_s": 2, **values})
    async with AsyncExitStack() as resources:
        server = MeshServer("vision", settings, await build(settings, resources))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@pytest.fixture
def serving():
    """Return a context manager that runs a server with the given settings."""
    return _serving


@pytest.fixture
def channel():
    """Return a context manager that connects to a server as a tenant."""

    def connect(server: MeshServer, tenant: str = "acme") -> MeshChannel:
        return MeshChannel(f"127.0.0.1:{server.grpc_port}", MINTER.source(tenant, caller="test"))

    return connect


@pytest.fixture
def jpeg() -> bytes:
    """Return a small JPEG."""
    return simplejpeg.encode_jpeg(np.zeros((48, 64, 3), np.uint8))
