"""A call over the real mesh is one connected trace, from the room's process through the services to the engines."""

from __future__ import annotations

import pytest

from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.clients import TenantClients
from local.demo.conversation import synthesize_questions, wait_for_greeting
from local.demo.run import call_in_room
from local.mesh import SERVICES, Mesh
from tests.fakes.otlp_collector import Collector, Span, collecting

TURN = "agent_turn"
# Below a turn: the span of a service, and that of the engine or vendor behind it.
IN_A_TURN = {
    ("hocket-media-gateway", "hocket.llm_router.v1.LlmRouterService/Generate"),
    ("hocket-llm-router", "hocket.llm_router.v1.LlmRouterService/Generate"),
    ("hocket-llm-router", "route"),
    ("hocket-llm-router", "chat embedded-extractive-1"),
    ("hocket-media-gateway", "hocket.speech.v1.SpeechService/Synthesize"),
    ("hocket-speech", "hocket.speech.v1.SpeechService/Synthesize"),
    ("hocket-speech", "synthesize espeak-ng"),
}


async def two_turns(mesh: Mesh) -> None:
    """Ask one question by voice and one by text."""
    clients = TenantClients(mesh.targets, mesh.minter, script.TENANT)
    try:
        spoken = (await synthesize_questions(clients.speech))[script.KNOWLEDGE.text]
        async with call_in_room(clients, "traced", None) as call:
            await wait_for_greeting(call)
            await ask(call, Question(script.KNOWLEDGE.text, spoken))
            await ask(call, Question(script.KNOWLEDGE.text, None))
    finally:
        await clients.close()


def below(collector: Collector, top: Span) -> set[tuple[str, str]]:
    """Service and name of every span under `top`."""
    found, parents = set[tuple[str, str]](), {top.span_id}
    while children := [s for s in collector.spans if s.parent_id in parents]:
        found |= {(s.service, s.name) for s in children}
        parents = {s.span_id for s in children}
    return found


@pytest.mark.usefixtures("untraced")
async def test_a_call_is_one_connected_trace_through_all_services(tmp_path):
    with collecting() as collector:
        env = {noun: {f"HOCKET_{noun.upper()}_OTLP_ENDPOINT": collector.endpoint} for noun in SERVICES}
        async with Mesh.start(tmp_path / "mesh", env=env, progress=print) as mesh:
            await two_turns(mesh)
    assert collector.orphans() == []
    (root,) = collector.named("job_entrypoint")
    turns = collector.named(TURN)
    assert len(turns) >= 2
    for turn in turns:
        assert collector.root(turn) == root
    assert len([turn for turn in turns if below(collector, turn) >= IN_A_TURN]) >= 2
    room = below(collector, root)
    assert ("hocket-speech", "hocket.speech.v1.SpeechService/Transcribe") in room
    assert ("hocket-rag", "hocket.rag.v1.RagService/Search") in room
    assert {span.service for span in collector.spans if span.trace_id == root.trace_id} >= {
        *("hocket-media-gateway", "hocket-speech", "hocket-llm-router", "hocket-rag", "hocket-ratelimit")
    }
