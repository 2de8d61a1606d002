"""Typed async clients of the mesh, and all that a caller needs beside them, from one import.

    from hocket.client import MeshChannel, MeshError, RagClient, TokenMinter

    token = TokenMinter(secret).source("acme", caller="billing")
    async with MeshChannel("dns:///rag:50051", token) as channel:
        response = await RagClient(channel).search("How long is the warranty?", k=3)

Requests and responses are the protobuf messages of `hocket.<noun>.v1`; each failure is raised as a `MeshError`.
Names load on first use: a process that calls rag alone does not import numpy for vision.
`pip install 'hocket[client]'` brings the type stubs of grpcio and protobuf: `mypy --strict` needs no others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hocket.chassis.auth import TokenMinter
    from hocket.chassis.channel import ClientTls, MeshChannel
    from hocket.chassis.errors import (
        DeadlineExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        MeshError,
        NotFound,
        PermissionDenied,
        ResourceExhausted,
        Unauthenticated,
        Unavailable,
        Unimplemented,
    )
    from hocket.client.ledger import CostRecorder, LedgerClient
    from hocket.client.llm_router import RouterClient
    from hocket.client.media_gateway import RoomClient
    from hocket.client.rag import RagClient
    from hocket.client.ratelimit import LeasedLimits, RateLimitClient
    from hocket.client.speech import SpeechClient
    from hocket.client.vision import VisionClient

__all__ = [
    "ClientTls",
    "CostRecorder",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "LeasedLimits",
    "LedgerClient",
    "MeshChannel",
    "MeshError",
    "NotFound",
    "PermissionDenied",
    "RagClient",
    "RateLimitClient",
    "ResourceExhausted",
    "RoomClient",
    "RouterClient",
    "SpeechClient",
    "TokenMinter",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VisionClient",
]

_MODULES = {
    "ClientTls": "hocket.chassis.channel",
    "CostRecorder": "hocket.client.ledger",
    "LeasedLimits": "hocket.client.ratelimit",
    "LedgerClient": "hocket.client.ledger",
    "MeshChannel": "hocket.chassis.channel",
    "RagClient": "hocket.client.rag",
    "RateLimitClient": "hocket.client.ratelimit",
    "RoomClient": "hocket.client.media_gateway",
    "RouterClient": "hocket.client.llm_router",
    "SpeechClient": "hocket.client.speech",
    "TokenMinter": "hocket.chassis.auth",
    "VisionClient": "hocket.client.vision",
}

# Hidden from type checkers, which would take every misspelled name for an object.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the module of a public name on first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES.get(name, "hocket.chassis.errors")), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, loaded or not."""
        return sorted(__all__)
