"""The demo's conversation, held to its word: fact, task, picture, barge-in, text, ledger, tenants."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest

from local.demo import script
from local.demo.checks import TURNS
from local.demo.environment import found_by

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_part_of_the_demo_worked(demo):
    assert demo.failures == []


async def test_five_turns_were_asked_heard_and_answered(demo):
    assert [turn.name for turn in demo.turns] == list(TURNS)
    for turn in demo.turns:
        assert turn.heard
        assert turn.answered
        assert turn.caller_ms["first_sound"] is not None
        assert (turn.tier, turn.model) != ("", "")
        assert turn.reasons


async def test_the_answer_holds_the_fact_and_names_its_passages(demo):
    turn = demo.turn("knowledge")
    assert "one in the afternoon" in turn.answered
    assert "opening-hours" in turn.passages


async def test_the_task_exists_in_the_backend_of_the_tenant_alone(demo, stage):
    titles = [task["title"].lower() for task in stage.stores[script.TENANT].list_tasks()]
    assert len([title for title in titles if script.TASK_TITLE_HOLDS in title]) == 1
    assert "friday" in demo.tasks[0]["due"].lower()
    assert demo.tasks[0]["user_id"] == script.CALLER
    assert stage.stores[script.OTHER_TENANT].list_tasks() == []
    assert [tool["name"] for tool in demo.turn("task").tools] == ["create_task"]


async def test_the_kept_frame_reached_the_model_and_no_other_turn_paid_for_one(demo):
    assert demo.turn("screen").images == 1
    assert "cannot read" in demo.turn("screen").answered
    assert demo.turn("knowledge").images == 0
    assert demo.turn("text").images == 0


async def test_frames_are_kept_for_what_changed_and_nearly_nothing_else(demo):
    frames = demo.frames
    kept = frames["kept"] + frames["refreshed"]
    assert len(script.SLIDES) - 1 <= kept
    assert kept < 0.15 * frames["published"]
    # Screens stand still: hardly a frame needs even its thumbnail looked at.
    assert frames["offered"] < frames["published"] / 2


async def test_the_agent_stopped_when_it_was_interrupted(demo):
    assert demo.barge_in["opening_interrupted"]
    assert demo.barge_in["stopped_ms"] is not None
    assert "first row" in demo.turn("barge_in").answered


async def test_chat_is_answered_and_spoken(demo):
    assert "ten euros" in demo.turn("text").answered
    assert demo.turn("text").caller_ms["answer"] > 0


async def test_the_ledger_holds_what_the_turns_reported(demo):
    kinds = {row["kind"] for row in demo.costs}
    assert kinds == {"llm", "stt", "tts"}
    assert demo.totals["ledger_micro_usd"] == demo.totals["reported_micro_usd"]
    # A speculation that is discarded at once may never have reached the router.
    assert demo.totals["reported_model_calls"] - demo.totals["discarded_model_calls"] >= len(TURNS)
    assert demo.totals["ledger_model_calls"] <= demo.totals["reported_model_calls"]


async def test_two_tenants_never_see_each_others_passages(demo, stage):
    ours, theirs = demo.tenants[script.TENANT], demo.tenants[script.OTHER_TENANT]
    assert theirs == [script.OTHER_DOCUMENT]
    assert script.OTHER_DOCUMENT not in ours
    assert "opening-hours" in ours
    for query in (script.KNOWLEDGE.text, script.BARGE_IN.text, script.TEXT.text):
        assert script.OTHER_DOCUMENT not in await found_by(stage.ours.rag, query)
        assert set(await found_by(stage.theirs.rag, query)) <= {script.OTHER_DOCUMENT}


async def test_another_tenant_sees_neither_rooms_nor_costs_nor_frames(demo, stage):
    await stage.ours.rooms.create_room("only-ours")
    try:
        assert "only-ours" in {room.name for room in await stage.ours.rooms.list_rooms()}
        assert "only-ours" not in {room.name for room in await stage.theirs.rooms.list_rooms()}
    finally:
        await stage.ours.rooms.delete_room("only-ours")
    assert (await stage.theirs.ledger.get_costs(room=demo.room)).sums == []
    assert (await stage.theirs.vision.get_stats(room=demo.room)).total.offered == 0


async def test_the_report_is_whole_and_the_recording_holds_both_voices(demo, tmp_path):
    demo.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["ok"]
    assert len(written["turns"]) == len(TURNS)
    with wave.open(demo.recording) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert (np.abs(both.astype(int)).max(axis=0) > 3000).all()
