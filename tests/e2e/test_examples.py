"""The examples do what they say, as the programs that a reader would copy."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from local.demo import script
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


async def run_example(name: str, *arguments: str, token: str | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if k != "TOKEN"}, **({"TOKEN": token} if token else {})},
    )
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode, out.decode(), err.decode()


async def test_a_question_about_a_stored_text_is_answered(stage):
    token = stage.mesh.minter.mint("examples", caller="test")
    code, out, err = await run_example("ask_rag.py", stage.mesh.targets["rag"], "how long is the warranty", token=token)
    assert code == 0, err
    assert "two years" in out


async def test_the_router_tells_who_answers_and_what_it_costs(stage):
    token = stage.mesh.minter.mint("examples", caller="test")
    code, out, err = await run_example("ask_router.py", stage.mesh.targets["llm_router"], "hello there", token=token)
    assert code == 0, err
    assert out.startswith("embedded (")
    assert "tokens in" in out
    assert out.rstrip().endswith("USD)")


async def test_the_agent_answers_in_writing_whoever_joins_and_asks(stage):
    token = stage.mesh.minter.mint(script.TENANT, caller="test")
    code, out, err = await run_example(
        "join_room.py", stage.mesh.targets["media_gateway"], script.TEXT.text, token=token
    )
    assert code == 0, err
    assert "ten euros" in out


@pytest.mark.parametrize("name", ["ask_rag.py", "ask_router.py", "join_room.py", "vision_gate.py", "watch_video.py"])
async def test_without_a_token_an_example_says_how_it_is_used(name):
    code, _, err = await run_example(name, "127.0.0.1:1", "anything")
    assert code == 1
    assert "make up" in err


async def test_a_wrong_token_is_one_line(stage):
    code, _, err = await run_example("join_room.py", stage.mesh.targets["media_gateway"], "anything", token="nonsense")
    assert code == 1
    assert err.startswith("Unauthenticated")
    assert err.count("\n") == 1
