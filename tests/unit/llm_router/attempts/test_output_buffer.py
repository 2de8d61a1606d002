"""The output buffer is bounded and merges waiting deltas."""

from __future__ import annotations

import asyncio

import pytest

from services.llm_router.attempts import output_buffer as module
from services.llm_router.attempts.output_buffer import DELTAS_PER_MERGE, OutputBuffer
from services.llm_router.chat.events import ProviderStateEvent, TextDelta, ToolCallEvent
from services.llm_router.chat.request import ToolCall
from tests.fakes.waiting import DEADLINE_S

CALL = ToolCallEvent(ToolCall("c", "t", "{}" * 30))


def holding(*events: TextDelta | ToolCallEvent | ProviderStateEvent) -> OutputBuffer:
    backlog = OutputBuffer()
    for event in events:
        backlog.add(event)
    return backlog


@pytest.mark.parametrize("event", [TextDelta("x" * 60), CALL, ProviderStateEvent("gemini", "c", b"x" * 60)])
async def test_add_waits_for_space(monkeypatch, event):
    monkeypatch.setattr(module, "BUFFERED_BYTES_MAX", 100)
    backlog = holding(event)
    await asyncio.wait_for(backlog.wait_for_space(), DEADLINE_S)
    backlog.add(event)
    waiting = asyncio.create_task(backlog.wait_for_space())
    await asyncio.sleep(0)
    assert backlog.full
    assert not waiting.done()
    assert backlog.take() == event
    await asyncio.wait_for(waiting, DEADLINE_S)
    assert not backlog.full


def test_more_deltas_are_merged_in_a_longer_backlog_without_loss_or_reordering():
    pieces = [f"{i} " for i in range(10 * DELTAS_PER_MERGE)]
    backlog = holding(*map(TextDelta, pieces), CALL, TextDelta("end"))
    taken = []
    while backlog:
        taken.append(backlog.take())
    said = [event.text for event in taken if isinstance(event, TextDelta)]
    assert "".join(said) == "".join(pieces) + "end"
    assert len(said[0].split()) > len(said[-2].split()) == 1
    assert taken[-2:] == [CALL, TextDelta("end")]
