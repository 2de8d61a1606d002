"""Every process of the mesh, declared once: what it is, what it needs, what it is told.

From this follow the processes and their order (`local.mesh`), their environment, and what deploy/compose.yaml says
(tests/unit/local/test_compose.py holds it to this page).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SERVERS = ("redis", "postgres", "livekit")

# What a vendor's own documentation calls its key, and the setting that takes it.
VENDOR_VARIABLES: Mapping[str, tuple[str, str]] = {
    "ANTHROPIC_API_KEY": ("llm_router", "ANTHROPIC_API_KEY"),
    "GOOGLE_API_KEY": ("llm_router", "GEMINI_API_KEY"),
    "GEMINI_API_KEY": ("llm_router", "GEMINI_API_KEY"),
    "OPENAI_BASE_URL": ("llm_router", "OPENAI_BASE_URL"),
    "OPENAI_API_KEY": ("llm_router", "OPENAI_API_KEY"),
    "OPENAI_MODEL": ("llm_router", "OPENAI_MODEL"),
    "DEEPGRAM_API_KEY": ("speech", "DEEPGRAM_API_KEY"),
    "ELEVENLABS_API_KEY": ("speech", "ELEVENLABS_API_KEY"),
    "VOYAGE_API_KEY": ("rag", "VOYAGE_API_KEY"),
}
# Servers of one's own instead of the embedded ones.
SERVER_VARIABLES = ("REDIS_URL", "DATABASE_URL", "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
WEBHOOK_PATH = "/v1/livekit/webhook"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the mesh.

    Attributes:
        noun: names the folder, the setting prefix and the process.
        servers: which of SERVERS it speaks to.
        calls: nouns of the services it calls; it starts after them and is told their targets.
        books: whether it buys from vendors, and so keeps a journal of costs that are not in the ledger yet.
        http: whether it serves an HTTP port of its own besides gRPC and operations.
        settings: what it is told besides, on one machine.
    """

    noun: str
    servers: Sequence[str] = ()
    calls: Sequence[str] = ()
    books: bool = False
    http: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def prefix(self) -> str:
        """What its variables begin with."""
        return f"HOCKET_{self.noun.upper()}_"

    @property
    def argv(self) -> Sequence[str]:
        """The command that serves it, in this interpreter."""
        return (sys.executable, "-m", f"services.{self.noun}")


SERVICES = (
    Service("ratelimit", servers=("redis", "postgres")),
    Service("vision", servers=("redis",)),
    Service("rag", servers=("postgres", "redis"), calls=("ratelimit",), books=True),
    Service("llm_router", servers=("redis",), calls=("ratelimit",), books=True),
    Service("speech", calls=("ratelimit",), books=True),
    Service(
        "media_gateway",
        servers=("livekit", "redis"),
        calls=("ratelimit", "vision", "rag", "llm_router", "speech"),
        http=True,
        # In a cluster a room may talk on for half an hour; here Ctrl-C means now.
        settings={"WORKER_DRAIN_S": "3", "DRAIN_GRACE_S": "3"},
    ),
)
NOUNS = tuple(service.noun for service in SERVICES)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one service; `http` is 0 where it has none."""

    grpc: int
    ops: int
    http: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the servers and services around a service turned out to be; "" and {} where there is none.

    Attributes:
        livekit: the variables URL, API_KEY and API_SECRET.
        journals: the folder of the services' cost journals; without one a killed service loses what it had not booked.
        targets: noun -> gRPC target.
    """

    jwt_secret: str
    redis_url: str = ""
    postgres_app_url: str = ""
    postgres_owner_url: str = ""
    journals: str = ""
    livekit: Mapping[str, str] = field(default_factory=dict[str, str])
    targets: Mapping[str, str] = field(default_factory=dict[str, str])


def service(noun: str) -> Service:
    """The declaration of `noun`. Raises KeyError."""
    return {s.noun: s for s in SERVICES}[noun]


def settings_of(declared: Service, ports: Ports, around: Surroundings) -> dict[str, str]:
    """What a service is told, without its prefix; empty values are left out, so that its own defaults hold."""
    told = {
        "GRPC_PORT": str(ports.grpc),
        "OPS_PORT": str(ports.ops),
        "HTTP_PORT": str(ports.http) if declared.http else "",
        "JWT_SECRET": around.jwt_secret,
        "REFLECTION": "true",
        **declared.settings,
    }
    if declared.books and around.journals:
        told["COST_JOURNAL_FILE"] = f"{around.journals}/{declared.noun}.jsonl"
    if "redis" in declared.servers:
        told["REDIS_URL"] = around.redis_url
    if "postgres" in declared.servers:
        told |= {"POSTGRES_URL": around.postgres_app_url, "POSTGRES_MIGRATION_URL": around.postgres_owner_url}
    if "livekit" in declared.servers:
        told |= {f"LIVEKIT_{name}": value for name, value in around.livekit.items()}
    told |= {f"{noun.upper()}_TARGET": around.targets.get(noun, "") for noun in declared.calls}
    return {name: value for name, value in told.items() if value}


def environment(
    declared: Service, ports: Ports, around: Surroundings, *, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The whole environment of a service's process.

    From `outer` come the machine's own variables, the vendors' keys that this service uses (no other's), and the
    variables with its prefix, which win over everything here.
    """
    private = {*VENDOR_VARIABLES, *SERVER_VARIABLES}
    env = {name: value for name, value in outer.items() if name not in private and not name.startswith("HOCKET_")}
    env |= {declared.prefix + name: value for name, value in settings_of(declared, ports, around).items()}
    for variable, (noun, setting) in VENDOR_VARIABLES.items():
        if noun == declared.noun and outer.get(variable):
            env[declared.prefix + setting] = outer[variable]
    env |= {name: value for name, value in outer.items() if name.startswith(declared.prefix)}
    env.setdefault("PYTHONUNBUFFERED", "1")
    return env
