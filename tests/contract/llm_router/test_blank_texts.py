"""Blank text, which vendors reject, is never sent to one."""

from __future__ import annotations

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from tests.emulators.router_harness import asking, assistant, running_router, system, text_of, user

SIGNED = pb.Part(text="", provider_state={"anthropic": b"{}", "gemini": b"signature"})


@pytest.mark.parametrize("alias", ["claude-sonnet-5-5", "gemini-3.8-flash", "openai-compatible"])
@pytest.mark.parametrize("blank", ["", " \n"])
async def test_a_conversation_with_blank_texts_is_answered(alias: str, blank: str):
    turns = [system(blank), user("Hello?", blank), assistant(blank, SIGNED), user(blank), assistant("Hi."), user(blank)]
    async with running_router() as w:
        assert text_of(await w.answer(asking(*turns, pin_model=alias)))
        assert text_of(await w.answer(asking(*turns[:2], assistant(SIGNED, "Hi."), "And?", pin_model=alias)))
        assert text_of(await w.answer(asking(user(blank), pin_model=alias)))
