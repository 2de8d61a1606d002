"""Environment of the demo and of the end-to-end tests: mesh, example backend, and the knowledge of two tenants."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.backend.store import TenantStore
from local.demo import script
from local.demo.backend import BackendSocket, serve_backend
from local.demo.clients import TenantClients
from local.demo.knowledge import demo_documents, ingest, other_documents
from local.mesh import Mesh
from local.progress import Progress

BACKEND_VARIABLE = "HOCKET_MEDIA_GATEWAY_BACKEND_URL"


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """Everything that a conversation needs.

    Attributes:
        mesh: the running mesh.
        stores: tenant id -> data in the example backend.
        demo_tenant: clients of the tenant that the caller belongs to.
        other_tenant: clients of a second tenant, which shows that tenants are isolated.
    """

    mesh: Mesh
    stores: Mapping[str, TenantStore]
    demo_tenant: TenantClients
    other_tenant: TenantClients


@asynccontextmanager
async def start_environment(data_dir: Path, progress: Progress) -> AsyncGenerator[DemoEnvironment, None]:
    """Start the mesh and the backend, ingest the knowledge of both tenants, and stop everything on exit.

    Args:
        data_dir: data folder of the mesh.
        progress: called with one line per step.

    Raises:
        LocalError: The mesh cannot start.
    """
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(BackendSocket.bind())
        env = {"media_gateway": {BACKEND_VARIABLE: backend.url}}
        mesh = await stack.enter_async_context(Mesh.start(data_dir, env=env, progress=progress))
        stores = await stack.enter_async_context(serve_backend(backend, data_dir))
        demo_tenant = TenantClients(mesh.targets, mesh.minter, script.TENANT)
        stack.push_async_callback(demo_tenant.close)
        other_tenant = TenantClients(mesh.targets, mesh.minter, script.OTHER_TENANT)
        stack.push_async_callback(other_tenant.close)
        passages = await ingest(demo_tenant.rag, demo_documents()) + await ingest(other_tenant.rag, other_documents())
        progress(f"loaded {passages} passages of knowledge for two tenants")
        yield DemoEnvironment(mesh, stores, demo_tenant, other_tenant)
