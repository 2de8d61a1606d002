"""The command `hocket-llm-router`: wires settings, adapters and the servicer; sub-commands `score` and `fit`."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

import asyncio
import sys
import uuid
from contextlib import AsyncExitStack

from hocket.llm_router.v1 import llm_router_pb2_grpc

from hocket.chassis.clock import SystemClock
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from services.llm_router import telemetry
from services.llm_router.adapters.files.outcome_log import OutcomeLog, open_scorer
from services.llm_router.adapters.files.tiers_file import TiersFile
from services.llm_router.adapters.mesh.day_budget import DayBudget
from services.llm_router.adapters.mesh.ledger import open_ledger
from services.llm_router.adapters.mesh.rate_limits import open_rate_limits
from services.llm_router.adapters.state.redis_state import open_state
from services.llm_router.adapters.vendors.access import VendorAccess, open_providers
from services.llm_router.attempts.model_health import ModelHealth
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.chat.request import MixMode
from services.llm_router.commands import fit as fit_command
from services.llm_router.commands import score as score_command
from services.llm_router.flow import Router
from services.llm_router.ports import RouterPorts
from services.llm_router.server import FULL_NAME, LlmRouterServicer
from services.llm_router.settings import Settings, reveal, vendor_access


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire adapters, flow and servicer; `resources` closes them in reverse order."""
    clock = SystemClock()
    model = settings.openai_model or ""
    tables = TiersFile(settings.tiers_file, lambda t: t.with_vendor_model("openai-compatible", model), clock.time)
    access = VendorAccess(**vendor_access(settings))
    target, tls = settings.ratelimit_target, settings.peer_tls
    ledger = open_ledger(target, settings.cost_journal_file, settings.minter, resources, tls=tls)
    providers = open_providers(access, clock, ledger, tables, resources)
    embedded = settings.embedded == "always" or (settings.embedded == "auto" and len(providers) == 1)
    state = open_state(reveal(settings.redis_url), resources)
    model_health = ModelHealth(tables, providers, state, clock, embedded=embedded, keys=access.fingerprint)
    limits, spent_since = open_rate_limits(target, resources, tls=tls)
    budgets = DayBudget(spent_since, clock)
    outcomes = OutcomeLog(settings.outcomes_file, state)
    resources.callback(outcomes.close)
    ports = RouterPorts(tables, providers, limits, ledger, budgets, outcomes, state, clock, lambda: str(uuid.uuid4()))
    router = Router(
        ports,
        open_scorer(settings.weights_file),
        model_health,
        mode=MixMode(settings.mix_mode),
        budget_micro_usd=settings.budget_micro_usd_per_day,
        answers_per_tenant_max=settings.answers_per_tenant_max,
        timeouts=AttemptTimeouts(
            settings.first_token_timeout_s,
            settings.fallback_first_token_timeout_s,
            settings.between_tokens_timeout_s,
            settings.attempt_timeout_s,
        ),
    )
    # Closed first: cancelled answers are recorded before the ledger closes.
    resources.push_async_callback(router.drain)
    refresh = asyncio.create_task(tables.keep_fresh(settings.tiers_refresh_s))
    resources.callback(refresh.cancel)
    shown = asyncio.create_task(telemetry.keep_breakers_shown(model_health.health))
    resources.callback(shown.cancel)
    servicer = LlmRouterServicer(router, model_health)
    return Assembly(
        [Servicer(FULL_NAME, lambda s: llm_router_pb2_grpc.add_LlmRouterServiceServicer_to_server(servicer, s))]
    )


def main() -> None:
    """Run the service or a sub-command."""
    commands = {"score": score_command.main, "fit": fit_command.main}
    if sys.argv[1:2] and sys.argv[1] in commands:
        commands[sys.argv[1]](sys.argv[2:])
    else:
        description = "Route requests over tiers of models. Sub-commands: score, fit (see their --help)."
        run("llm_router", description, Settings, build)


if __name__ == "__main__":
    main()
