"""The programs in examples/, run as commands."""

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


async def run_example(name: str, *arguments: str, token: str | None = None) -> tuple[int | None, str, str]:
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


async def test_ask_rag_finds_an_ingested_text(demo_environment):
    token = demo_environment.mesh.minter.mint("examples", caller="test")
    code, out, err = await run_example(
        "ask_rag.py", demo_environment.mesh.targets["rag"], "how long is the warranty", token=token
    )
    assert code == 0, err
    assert "two years" in out


async def test_ask_router_prints_model_and_cost(demo_environment):
    token = demo_environment.mesh.minter.mint("examples", caller="test")
    code, out, err = await run_example(
        "ask_router.py", demo_environment.mesh.targets["llm_router"], "hello there", token=token
    )
    assert code == 0, err
    assert out.startswith("embedded (")
    assert "tokens in" in out
    assert out.rstrip().endswith("USD)")


async def test_join_room_prints_the_answer_of_the_agent(demo_environment):
    token = demo_environment.mesh.minter.mint(script.TENANT, caller="test")
    code, out, err = await run_example(
        "join_room.py", demo_environment.mesh.targets["media_gateway"], script.TEXT.text, token=token
    )
    assert code == 0, err
    assert "ten euros" in out


@pytest.mark.parametrize("name", ["ask_rag.py", "ask_router.py", "join_room.py", "vision_gate.py", "watch_video.py"])
async def test_missing_token_prints_usage(name):
    code, _, err = await run_example(name, "127.0.0.1:1", "anything")
    assert code == 1
    assert "make up" in err


async def test_invalid_token_is_a_one_line_error(demo_environment):
    code, _, err = await run_example(
        "join_room.py", demo_environment.mesh.targets["media_gateway"], "anything", token="nonsense"
    )
    assert code == 1
    assert err.startswith("Unauthenticated")
    assert err.count("\n") == 1
