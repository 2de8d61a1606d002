"""One run of the demo: join a room, hold the conversation, read costs and frame counts, check the result."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hocket.ratelimit.v1.ledger_pb2 import CostKind, GetCostsResponse

from local.caller.audio import Pcm
from local.caller.call import Call, join_call
from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.checks import answer_failures, find_failures
from local.demo.clients import TenantClients
from local.demo.conversation import draw_slides, run_conversation, synthesize_questions, wait_for_greeting
from local.demo.environment import DemoEnvironment
from local.demo.knowledge import demo_documents, search_document_ids
from local.demo.report import Report, cost_facts, frame_facts, turn_facts
from local.progress import Progress

# Services record costs in batches; a cost event that is missing after this time counts as lost.
_LEDGER_TIMEOUT_S = 60.0


async def run_demo(
    environment: DemoEnvironment,
    report: Report,
    recording: Path,
    progress: Progress,
    *,
    question: Pcm | None = None,
) -> None:
    """Run the whole demo and fill `report` as it proceeds.

    Args:
        environment: the running mesh with backend and knowledge.
        report: receives turns, frames, costs and failures.
        recording: stereo WAV file to write.
        progress: called with one line per step.
        question: a recorded question, 48 kHz mono; None asks the questions of the script.
    """
    report.tenant, report.room, report.recording = script.TENANT, f"demo-{uuid.uuid4().hex[:8]}", str(recording)
    clients = environment.demo_tenant
    await _search_as_each_tenant(environment, report)
    spoken: Mapping[str, Pcm] = {} if question is not None else await synthesize_questions(clients.speech)
    slides = draw_slides()
    progress(f"prepared {len(spoken) or 1} questions and {len(slides)} slides")
    async with call_in_room(clients, report.room, slides[0]) as call:
        progress(f"the agent has joined room {report.room}")
        try:
            await wait_for_greeting(call)
            if question is None:
                await run_conversation(call, spoken, slides, report, progress)
            else:
                report.turns.append(turn_facts("recording", await ask(call, Question("(your recording)", question))))
        finally:
            call.write_recording(recording)
            published = call.screen_share.frames_published if call.screen_share else 0
    report.tasks = environment.stores[script.TENANT].list_tasks()
    stats = await clients.vision.get_stats(room=report.room)
    report.frames = frame_facts(stats.total, published)
    await _read_ledger(clients, report, call)
    progress("read the ledger and the frame counts")
    if question is None:
        report.failures += find_failures(report, frozenset(each.document_id for each in demo_documents()))
    else:
        report.failures += [failure for turn in report.turns for failure in answer_failures(turn)]


@asynccontextmanager
async def call_in_room(clients: TenantClients, room: str, first_frame: bytes | None) -> AsyncGenerator[Call, None]:
    """Create a room, join it with an agent, and delete the room on exit.

    Args:
        clients: clients of the tenant that owns the room.
        room: name of the new room.
        first_frame: I420 frame to share, 1280x720; None publishes no video.

    Raises:
        AgentDidNotJoin: No agent joined in time.
    """
    await clients.rooms.create_room(room)
    try:
        access = await clients.rooms.join_room(room, script.CALLER, display_name="Ada")
        async with join_call(access.url, access.token, script.CALLER, first_frame=first_frame) as call:
            yield call
    finally:
        await clients.rooms.delete_room(room)


async def _search_as_each_tenant(environment: DemoEnvironment, report: Report) -> None:
    for tenant, clients in (
        (script.TENANT, environment.demo_tenant),
        (script.OTHER_TENANT, environment.other_tenant),
    ):
        report.tenants[tenant] = await search_document_ids(clients.rag, script.SHARED_SUBJECT)


async def _read_ledger(clients: TenantClients, report: Report, call: Call) -> None:
    """Poll the costs of the room until the ledger has every reported call, for 60 s at most."""
    started = sum(int(turn.raw.get("model_calls") or 0) for turn in call.turn_reports)
    discarded = sum(int(turn.raw.get("calls_discarded") or 0) for turn in call.turn_reports)
    deadline_s = time.monotonic() + _LEDGER_TIMEOUT_S
    costs = await clients.ledger.get_costs(room=report.room)
    while not _is_complete(costs, started - discarded) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.25)
        costs = await clients.ledger.get_costs(room=report.room)
    report.costs = cost_facts(costs)
    report.totals = {
        "ledger_micro_usd": costs.total_micro_usd,
        "reported_micro_usd": sum(int(turn.raw.get("cost_micro_usd") or 0) for turn in call.turn_reports),
        "ledger_model_calls": _count_events(costs, CostKind.COST_KIND_LLM),
        "reported_model_calls": started,
        "discarded_model_calls": discarded,
    }


def _is_complete(costs: GetCostsResponse, model_calls: int) -> bool:
    speech = _count_events(costs, CostKind.COST_KIND_STT) and _count_events(costs, CostKind.COST_KIND_TTS)
    return bool(speech) and _count_events(costs, CostKind.COST_KIND_LLM) >= model_calls


def _count_events(costs: GetCostsResponse, kind: CostKind.ValueType) -> int:
    return sum(each.events for each in costs.sums if each.kind == kind)
