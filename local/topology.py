"""The services of the mesh: dependencies, ports and environment of each.

`local.mesh` starts processes from these declarations. deploy/compose.yaml repeats them for containers;
tests/unit/local/test_compose.py compares the two.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SERVERS = ("redis", "postgres", "livekit")

# Variable name in the vendor's documentation -> (service, setting of that service).
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
# Existing servers that replace the embedded ones.
SERVER_VARIABLES = ("REDIS_URL", "DATABASE_URL", "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
WEBHOOK_PATH = "/v1/livekit/webhook"
# Sub-command of a service with tables, and its only setting: the URL of the schema's owner.
MIGRATE = "migrate"
MIGRATION_URL = "POSTGRES_MIGRATION_URL"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the mesh.

    Attributes:
        noun: name of the folder, of the process and (in capitals) in the prefix of its settings.
        servers: members of SERVERS that it connects to.
        calls: nouns of the services that it calls; they start first, and their targets are among its settings.
        records_costs: it calls paid vendors and keeps a journal of the costs that the ledger has not confirmed.
        http: it serves an HTTP API besides gRPC and operations.
        settings: further settings for a mesh on one machine, without prefix.
    """

    noun: str
    servers: Sequence[str] = ()
    calls: Sequence[str] = ()
    records_costs: bool = False
    http: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def prefix(self) -> str:
        """Prefix of its environment variables."""
        return f"HOCKET_{self.noun.upper()}_"

    @property
    def argv(self) -> Sequence[str]:
        """Command that runs the service, with this interpreter."""
        return (sys.executable, "-m", f"services.{self.noun}")

    @property
    def migration_argv(self) -> Sequence[str]:
        """Command that migrates its schema, before it starts; empty if it has none."""
        return (*self.argv, MIGRATE) if "postgres" in self.servers else ()


SERVICES = (
    Service("ratelimit", servers=("redis", "postgres")),
    Service("vision", servers=("redis",)),
    Service("rag", servers=("postgres", "redis"), calls=("ratelimit",), records_costs=True),
    Service("llm_router", servers=("redis",), calls=("ratelimit",), records_costs=True),
    Service("speech", calls=("ratelimit",), records_costs=True),
    Service(
        "media_gateway",
        servers=("livekit", "redis"),
        calls=("ratelimit", "vision", "rag", "llm_router", "speech"),
        http=True,
        # In a cluster a room may continue for half an hour; here Ctrl-C stops at once.
        settings={"WORKER_DRAIN_S": "3", "DRAIN_GRACE_S": "3"},
    ),
)
NOUNS = tuple(service.noun for service in SERVICES)


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of one service; `http` is 0 if it has none."""

    grpc: int
    ops: int
    http: int = 0


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Values that all services share; "" and {} where a server or service does not run.

    Attributes:
        jwt_secret: key that signs and verifies tokens.
        redis_url: redis:// URL with its password.
        postgres_app_url: URL of the serving role.
        postgres_owner_url: URL of the role that migrates the schema.
        journals: folder of the cost journals; without it, a killed service loses the costs that it had not recorded.
        livekit: values of the settings URL, API_KEY and API_SECRET.
        targets: noun -> gRPC target.
    """

    jwt_secret: str
    redis_url: str = ""
    postgres_app_url: str = ""
    postgres_owner_url: str = ""
    journals: str = ""
    livekit: Mapping[str, str] = field(default_factory=dict[str, str])
    targets: Mapping[str, str] = field(default_factory=dict[str, str])


def find_service(noun: str) -> Service:
    """Return the declaration of a service.

    Raises:
        KeyError: No service has this noun.
    """
    return {s.noun: s for s in SERVICES}[noun]


def service_settings(declared: Service, ports: Ports, config: MeshConfig) -> dict[str, str]:
    """Return setting name (without prefix) -> value. Empty values are left out, so that the defaults apply.

    Args:
        declared: the service.
        ports: its ports.
        config: values that all services share.
    """
    settings = {
        "GRPC_PORT": str(ports.grpc),
        "OPS_PORT": str(ports.ops),
        "HTTP_PORT": str(ports.http) if declared.http else "",
        "JWT_SECRET": config.jwt_secret,
        "REFLECTION": "true",
        **declared.settings,
    }
    if declared.records_costs and config.journals:
        settings["COST_JOURNAL_FILE"] = f"{config.journals}/{declared.noun}.jsonl"
    if "redis" in declared.servers:
        settings["REDIS_URL"] = config.redis_url
    if "postgres" in declared.servers:
        settings["POSTGRES_URL"] = config.postgres_app_url
    if "livekit" in declared.servers:
        settings |= {f"LIVEKIT_{name}": value for name, value in config.livekit.items()}
    settings |= {f"{noun.upper()}_TARGET": config.targets.get(noun, "") for noun in declared.calls}
    return {name: value for name, value in settings.items() if value}


def service_environment(
    declared: Service, ports: Ports, config: MeshConfig, *, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the complete environment of a service process.

    Args:
        declared: the service.
        ports: its ports.
        config: values that all services share.
        inherited: environment of this process. The service receives its system variables, the vendor keys of this
            service only, and the variables with the prefix of this service, which override the topology.
    """
    env = _system_variables(inherited)
    env |= {declared.prefix + name: value for name, value in service_settings(declared, ports, config).items()}
    for variable, (noun, setting) in VENDOR_VARIABLES.items():
        if noun == declared.noun and inherited.get(variable):
            env[declared.prefix + setting] = inherited[variable]
    owner_url = declared.prefix + MIGRATION_URL
    env |= {
        name: value
        for name, value in inherited.items()
        if name.startswith(declared.prefix) and not name.startswith(owner_url)
    }
    env.setdefault("PYTHONUNBUFFERED", "1")
    return env


def migration_environment(
    declared: Service, config: MeshConfig, *, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the complete environment of `migration_argv`: the only process with the URL of the schema's owner.

    Args:
        declared: the service.
        config: values that all services share.
        inherited: environment of this process, whose system variables and URL of the owner the command receives.
    """
    owner_url = declared.prefix + MIGRATION_URL
    given = {name: value for name, value in inherited.items() if name.startswith(owner_url)}
    return _system_variables(inherited) | (given or {owner_url: config.postgres_owner_url})


def _system_variables(inherited: Mapping[str, str]) -> dict[str, str]:
    private = {*VENDOR_VARIABLES, *SERVER_VARIABLES}
    return {name: value for name, value in inherited.items() if name not in private and not name.startswith("HOCKET_")}
