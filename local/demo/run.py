"""One demo on a stage: room, call, five turns, and what the mesh wrote down about them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hocket.ratelimit.v1.ledger_pb2 import CostKind, GetCostsResponse

from local.caller.audio import Pcm
from local.caller.call import Call, calling
from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.checks import failures, unanswered
from local.demo.conversation import draw_slides, five_turns, greeted, speak_questions
from local.demo.environment import Clients, Progress, Stage, found_by, our_documents
from local.demo.report import Report, cost_facts, frame_facts, turn_facts

# Recorders book in batches behind the caller's back; what is not there after this long is missing.
_BOOK_SETTLES_S = 60.0


async def hold_demo(stage: Stage, report: Report, recording: Path, say: Progress, *, own: Pcm | None = None) -> None:
    """The whole demo; `own` is asked instead of the script when it is given. Fills `report` as it goes."""
    report.tenant, report.room, report.recording = script.TENANT, f"demo-{uuid.uuid4().hex[:8]}", str(recording)
    await _look_for_leaks(stage, report)
    spoken: Mapping[str, Pcm] = {} if own is not None else await speak_questions(stage.ours.speech)
    slides = draw_slides()
    say(f"questions to ask: {len(spoken) or 1}; pictures to show: {len(slides)}")
    async with in_room(stage.ours, report.room, slides[0]) as call:
        say(f"the agent has joined room {report.room}")
        try:
            await greeted(call)
            if own is None:
                await five_turns(call, spoken, slides, report, say)
            else:
                report.turns.append(turn_facts("recording", await ask(call, Question("(your recording)", own))))
        finally:
            call.record(recording)
            published = call.screen.frames_published if call.screen else 0
    report.tasks = stage.stores[script.TENANT].list_tasks()
    stats = await stage.ours.vision.get_stats(room=report.room)
    report.frames = frame_facts(stats.total, published)
    await _read_ledger(stage.ours, report, call)
    say("the ledger and the frame counts are read")
    documents = frozenset(each.document_id for each in our_documents())
    report.failures += failures(report, documents) if own is None else [f for t in report.turns for f in unanswered(t)]


@asynccontextmanager
async def in_room(clients: Clients, room: str, first_frame: bytes | None) -> AsyncGenerator[Call, None]:
    """A call in a new room, which is deleted at the end."""
    await clients.rooms.create_room(room)
    try:
        access = await clients.rooms.join_room(room, script.CALLER, display_name="Ada")
        async with calling(access.url, access.token, script.CALLER, first_frame=first_frame) as call:
            yield call
    finally:
        await clients.rooms.delete_room(room)


async def _look_for_leaks(stage: Stage, report: Report) -> None:
    """Each tenant asks for what both of them write about; each must find its own alone."""
    for tenant, clients in ((script.TENANT, stage.ours), (script.OTHER_TENANT, stage.theirs)):
        report.tenants[tenant] = await found_by(clients.rag, script.SHARED_SUBJECT)


async def _read_ledger(clients: Clients, report: Report, call: Call) -> None:
    """The book of this room, once it holds what was reported or the time to settle is over."""
    begun = sum(int(turn.raw.get("model_calls") or 0) for turn in call.turns)
    discarded = sum(int(turn.raw.get("calls_discarded") or 0) for turn in call.turns)
    give_up_s = time.monotonic() + _BOOK_SETTLES_S
    costs = await clients.ledger.get_costs(room=report.room)
    while not _holds(costs, begun - discarded) and time.monotonic() < give_up_s:
        await asyncio.sleep(0.25)
        costs = await clients.ledger.get_costs(room=report.room)
    report.costs = cost_facts(costs)
    report.totals = {
        "ledger_micro_usd": costs.total_micro_usd,
        "reported_micro_usd": sum(int(turn.raw.get("cost_micro_usd") or 0) for turn in call.turns),
        "ledger_model_calls": _events(costs, CostKind.COST_KIND_LLM),
        "reported_model_calls": begun,
        "discarded_model_calls": discarded,
    }


def _holds(costs: GetCostsResponse, model_calls: int) -> bool:
    heard = _events(costs, CostKind.COST_KIND_STT) and _events(costs, CostKind.COST_KIND_TTS)
    return bool(heard) and _events(costs, CostKind.COST_KIND_LLM) >= model_calls


def _events(costs: GetCostsResponse, kind: CostKind.ValueType) -> int:
    return sum(each.events for each in costs.sums if each.kind == kind)
