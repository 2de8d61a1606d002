"""The stage of the demo: a running mesh, the example backend, two tenants' knowledge. Tests stand on it as well."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hocket.rag.v1.rag_pb2 import Document

from examples.backend.store import TenantStore
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import FailedPrecondition
from hocket.client import media_gateway, rag, ratelimit, vision
from hocket.client.ledger import LedgerClient
from hocket.client.media_gateway import RoomClient
from hocket.client.rag import RagClient
from hocket.client.speech import SpeechClient
from hocket.client.vision import VisionClient
from local.demo import script
from local.demo.backend import Address, serving_backend
from local.mesh import Mesh

Progress = Callable[[str], None]
_IDEMPOTENT = {
    "rag": rag.IDEMPOTENT,
    "media_gateway": media_gateway.IDEMPOTENT,
    "ratelimit": ratelimit.IDEMPOTENT,
    "vision": vision.IDEMPOTENT,
}


class Clients:
    """What a tenant's programs call."""

    def __init__(self, targets: Mapping[str, str], minter: TokenMinter, tenant: str) -> None:
        """Open channels with tokens of `tenant`."""
        token = minter.source(tenant, caller="demo")
        self._channels = {
            noun: MeshChannel(target, token, idempotent=_IDEMPOTENT.get(noun, ())) for noun, target in targets.items()
        }
        self.rag = RagClient(self._channels["rag"])
        self.speech = SpeechClient(self._channels["speech"])
        self.rooms = RoomClient(self._channels["media_gateway"])
        self.ledger = LedgerClient(self._channels["ratelimit"])
        self.vision = VisionClient(self._channels["vision"])

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()


BACKEND_VARIABLE = "HOCKET_MEDIA_GATEWAY_BACKEND_URL"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a conversation needs. `stores` is what the backend holds, by tenant."""

    mesh: Mesh
    stores: Mapping[str, TenantStore]
    ours: Clients
    theirs: Clients


@asynccontextmanager
async def open_stage(data_dir: Path, say: Progress) -> AsyncGenerator[Stage, None]:
    """Start everything and load both tenants' knowledge; stop everything at the end."""
    async with AsyncExitStack() as stack:
        address = stack.enter_context(Address.claim())
        env = {"media_gateway": {BACKEND_VARIABLE: address.url}}
        mesh = await stack.enter_async_context(Mesh.start(data_dir, env=env, progress=say))
        stores = await stack.enter_async_context(serving_backend(address, data_dir))
        clients = {
            tenant: Clients(mesh.targets, mesh.minter, tenant) for tenant in (script.TENANT, script.OTHER_TENANT)
        }
        for each in clients.values():
            stack.push_async_callback(each.close)
        stage = Stage(mesh, stores, clients[script.TENANT], clients[script.OTHER_TENANT])
        passages = await ingest(stage.ours.rag, our_documents()) + await ingest(stage.theirs.rag, their_documents())
        say(f"knowledge is loaded: {passages} passages of two tenants")
        yield stage


def our_documents() -> list[Document]:
    """The knowledge of the demo's tenant: the files of examples/knowledge."""
    files = sorted(script.KNOWLEDGE_FOLDER.glob("*.md"))
    return [Document(document_id=file.stem, text=file.read_text(encoding="utf-8")) for file in files]


def their_documents() -> list[Document]:
    """The knowledge of the other tenant."""
    return [Document(document_id=script.OTHER_DOCUMENT, text=script.OTHER_KNOWLEDGE)]


async def ingest(client: RagClient, documents: list[Document]) -> int:
    """Load `documents`; returns how many passages they make. Raises FailedPrecondition when one is refused."""
    passages = 0
    async for answer in client.ingest(documents):
        if answer.error:
            raise FailedPrecondition(f"{answer.document_id}: {answer.error}")
        passages += answer.passages
    return passages


async def found_by(client: RagClient, query: str) -> list[str]:
    """Ids of the documents in which a tenant finds `query`, each once, best first."""
    response = await client.search(query, k=20, budget_s=2)
    return list(dict.fromkeys(passage.document_id for passage in response.passages))
