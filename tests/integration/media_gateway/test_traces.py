"""A room is one connected trace at a collector, however its process ends."""

from __future__ import annotations

import asyncio
import signal
import uuid

import pytest

from tests.fakes import mesh_peers, room_guest
from tests.fakes.otlp_collector import Collector, Span, collecting
from tests.fakes.waiting import DEADLINE_S, until

pytestmark = [
    pytest.mark.usefixtures("untraced"),
    # The guest's LiveKit client now and then drops a handle twice when a stream ends, and asserts in __del__.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = "job_entrypoint"
GENERATE = "hocket.llm_router.v1.LlmRouterService/Generate"
# Calls that belong to a room, each in its trace.
CALLS = (
    GENERATE,
    "hocket.speech.v1.SpeechService/Transcribe",
    "hocket.speech.v1.SpeechService/Synthesize",
    "hocket.rag.v1.RagService/Search",
)


async def two_turns(guest: room_guest.Guest, peers: mesh_peers.Peers) -> None:
    """Ask one question by voice and one by text, with knowledge behind both."""
    await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
    # Until the agent listens to the microphone that was published a moment ago.
    await asyncio.sleep(1)
    peers.speech.transcripts = ["when does the office open"]
    await guest.speak(room_guest.speech_like(1.5))
    await guest.next_turn_summary()
    await guest.type_text("and when does it close")
    await guest.next_turn_summary()


@pytest.mark.parametrize("end", ["room deleted", "gateway stopped", "gateway killed"])
async def test_a_room_is_one_connected_trace_however_its_process_ends(livekit_server, run_gateway, tmp_path, end):
    with collecting() as collector:
        async with (
            mesh_peers.serving() as peers,
            run_gateway(livekit_server, tmp_path, peers, OTLP_ENDPOINT=collector.endpoint) as gateway,
            gateway.rooms() as rooms,
        ):
            name = f"room-{uuid.uuid4().hex[:8]}"
            await rooms.create_room(name)
            async with room_guest.Guest(await rooms.join_room(name, "ann")) as guest:
                await two_turns(guest, peers)
                match end:
                    case "room deleted":
                        await rooms.delete_room(name)
                    case "gateway stopped":
                        gateway.process.send_signal(signal.SIGTERM)
                    case "gateway killed":
                        gateway.process.kill()
                await until(lambda: collector.named(ROOT))
    check_room(collector)


def check_room(collector: Collector) -> None:
    assert collector.orphans() == []
    (root,) = collector.named(ROOT)
    assert root.resource["service.name"] == "hocket-media-gateway"
    calls = [span for name in CALLS for span in collector.named(name) if span.service == "hocket-media-gateway"]
    in_room = [span for span in calls if collector.root(span) == root]
    assert {span.name for span in in_room} == set(CALLS)
    turns = {turn_of(collector, span).span_id for span in collector.named(GENERATE)}
    assert len(turns) >= 2


def turn_of(collector: Collector, span: Span) -> Span:
    by_id = {s.span_id: s for s in collector.spans}
    while span.name != "agent_turn":
        span = by_id[span.parent_id]
    return span
