"""The command `hocket-llm-router`: wiring alone, and its sub-commands."""

from __future__ import annotations

import asyncio
import sys
import uuid
from contextlib import AsyncExitStack

from hocket.llm_router.v1 import llm_router_pb2_grpc
from pydantic import SecretStr

from chassis.channel import MeshChannel, forwarded_token
from chassis.clock import SystemClock
from chassis.run import run
from chassis.server import Assembly, Servicer
from clients.ratelimit import CostRecorder, RateLimitClient
from services.llm_router import score_command
from services.llm_router.adapters.local_state import LocalState
from services.llm_router.adapters.mesh_ledger import MeshLedger
from services.llm_router.adapters.mesh_limits import MeshLimits, NoLimits
from services.llm_router.adapters.tiers_file import TiersFile
from services.llm_router.adapters.vendors import VendorAccess, open_providers
from services.llm_router.attempt import AttemptLimits
from services.llm_router.conversation import MixMode
from services.llm_router.flow import Router, RouterPorts
from services.llm_router.inventory import Inventory
from services.llm_router.ports import Limits
from services.llm_router.scoring import SurfaceScorer
from services.llm_router.server import FULL_NAME, LlmRouterServicer
from services.llm_router.settings import Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire adapters and the servicer."""
    clock = SystemClock()
    model = settings.openai_model or ""
    tables = TiersFile(settings.tiers_file, lambda t: t.with_vendor_model("openai-compatible", model), clock.time)
    providers = open_providers(_access(settings), clock, resources)
    vendors = set(providers) - {"embedded"}
    embedded = settings.embedded == "always" or (settings.embedded == "auto" and not vendors)
    inventory = Inventory(tables, providers, clock, embedded=embedded)
    limits: Limits = NoLimits()
    if settings.ratelimit_target:
        channel = await resources.enter_async_context(MeshChannel(settings.ratelimit_target, forwarded_token))
        limits = MeshLimits(RateLimitClient(channel))
    recorder = await resources.enter_async_context(CostRecorder(settings.ratelimit_target))
    ports = RouterPorts(tables, providers, limits, MeshLedger(recorder), LocalState(), clock, lambda: str(uuid.uuid4()))
    router = Router(
        ports,
        SurfaceScorer(),
        inventory,
        mode=MixMode(settings.mix_mode),
        limits=AttemptLimits(
            settings.first_token_timeout_s,
            settings.fallback_first_token_timeout_s,
            settings.between_tokens_timeout_s,
            settings.attempt_timeout_s,
        ),
    )
    refresh = asyncio.create_task(tables.keep_fresh(settings.tiers_refresh_s))
    resources.callback(refresh.cancel)
    servicer = LlmRouterServicer(router, inventory)
    return Assembly(
        [Servicer(FULL_NAME, lambda s: llm_router_pb2_grpc.add_LlmRouterServiceServicer_to_server(servicer, s))]
    )


def _access(settings: Settings) -> VendorAccess:
    def shown(secret: SecretStr | None) -> str | None:
        return secret.get_secret_value() if secret else None

    return VendorAccess(
        anthropic_api_key=shown(settings.anthropic_api_key),
        anthropic_base_url=settings.anthropic_base_url,
        gemini_api_key=shown(settings.gemini_api_key),
        gemini_base_url=settings.gemini_base_url,
        openai_base_url=settings.openai_base_url,
        openai_api_key=shown(settings.openai_api_key),
    )


def main() -> None:
    """Be the command."""
    if sys.argv[1:2] == ["score"]:
        score_command.main(sys.argv[2:])
    else:
        run("llm_router", "Routes requests over tiers of models. Also: hocket-llm-router score --help", Settings, build)


if __name__ == "__main__":
    main()
