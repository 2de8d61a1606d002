"""The demo conversation: knowledge, task, screen, barge-in, chat, ledger and tenant isolation."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest

from local.demo import script
from local.demo.checks import TURNS
from local.demo.knowledge import search_document_ids

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_demo_has_no_failures(demo):
    assert demo.failures == []


async def test_all_five_turns_are_answered(demo):
    assert [turn.name for turn in demo.turns] == list(TURNS)
    for turn in demo.turns:
        assert turn.heard
        assert turn.answered
        assert turn.caller_ms["first_sound"] is not None
        assert (turn.tier, turn.model) != ("", "")
        assert turn.reasons


async def test_knowledge_answer_contains_the_fact_and_its_passage(demo):
    turn = demo.turn("knowledge")
    assert "one in the afternoon" in turn.answered
    assert "opening-hours" in turn.passages


async def test_task_is_created_for_its_tenant_only(demo, demo_environment):
    titles = [task["title"].lower() for task in demo_environment.stores[script.TENANT].list_tasks()]
    assert len([title for title in titles if script.TASK_TITLE_PHRASE in title]) == 1
    assert "friday" in demo.tasks[0]["due"].lower()
    assert demo.tasks[0]["user_id"] == script.CALLER
    assert demo_environment.stores[script.OTHER_TENANT].list_tasks() == []
    assert [tool["name"] for tool in demo.turn("task").tools] == ["create_task"]


async def test_only_the_screen_question_uses_a_frame(demo):
    assert demo.turn("screen").images == 1
    assert "cannot read" in demo.turn("screen").answered
    assert demo.turn("knowledge").images == 0
    assert demo.turn("text").images == 0


async def test_changed_slides_are_kept_and_repeats_skipped(demo):
    frames = demo.frames
    kept = frames["kept"] + frames["refreshed"]
    assert len(script.SLIDES) - 1 <= kept
    assert kept < 0.15 * frames["published"]
    # The slides are still images: most frames are suppressed before an offer.
    assert frames["offered"] < frames["published"] / 2


async def test_agent_stops_when_interrupted(demo):
    assert demo.barge_in["opening_interrupted"]
    assert demo.barge_in["stopped_ms"] is not None
    assert "first row" in demo.turn("barge_in").answered


async def test_chat_question_gets_a_spoken_answer(demo):
    assert "ten euros" in demo.turn("text").answered
    assert demo.turn("text").caller_ms["answer"] > 0


async def test_ledger_matches_the_turn_reports(demo):
    kinds = {row["kind"] for row in demo.costs}
    assert kinds == {"llm", "stt", "tts"}
    assert demo.totals["ledger_micro_usd"] == demo.totals["reported_micro_usd"]
    # A speculative call that is discarded at once may not have reached the router.
    assert demo.totals["reported_model_calls"] - demo.totals["discarded_model_calls"] >= len(TURNS)
    assert demo.totals["ledger_model_calls"] <= demo.totals["reported_model_calls"]


async def test_search_never_returns_passages_of_another_tenant(demo, demo_environment):
    own, other = demo.tenants[script.TENANT], demo.tenants[script.OTHER_TENANT]
    assert other == [script.OTHER_DOCUMENT]
    assert script.OTHER_DOCUMENT not in own
    assert "opening-hours" in own
    for query in (script.KNOWLEDGE.text, script.BARGE_IN.text, script.TEXT.text):
        assert script.OTHER_DOCUMENT not in await search_document_ids(demo_environment.demo_tenant.rag, query)
        assert set(await search_document_ids(demo_environment.other_tenant.rag, query)) <= {script.OTHER_DOCUMENT}


async def test_other_tenant_cannot_see_rooms_costs_or_frames(demo, demo_environment):
    await demo_environment.demo_tenant.rooms.create_room("only-demo")
    try:
        assert "only-demo" in {room.name for room in await demo_environment.demo_tenant.rooms.list_rooms()}
        assert "only-demo" not in {room.name for room in await demo_environment.other_tenant.rooms.list_rooms()}
    finally:
        await demo_environment.demo_tenant.rooms.delete_room("only-demo")
    assert (await demo_environment.other_tenant.ledger.get_costs(room=demo.room)).sums == []
    assert (await demo_environment.other_tenant.vision.get_stats(room=demo.room)).total.offered == 0


async def test_report_is_complete_and_recording_has_both_voices(demo, tmp_path):
    demo.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["ok"]
    assert len(written["turns"]) == len(TURNS)
    with wave.open(demo.recording) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert (np.abs(both.astype(int)).max(axis=0) > 3000).all()
