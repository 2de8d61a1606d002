"""Plays recorded vendor streams into the router and compares its answers with those of the vendor's own SDK.

    python -m bench.llm_router.replay FOLDER [--json]

FOLDER holds `anthropic/` and `gemini/` with files of one JSON event a line (`*.chunks.txt`), of server-sent events
(`*_response.txt`) or VCR cassettes (`*.yaml`). Exit code 1 when an answer differs.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import warnings
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from anthropic import AsyncAnthropic
from google.genai import Client, types
from hocket.llm_router.v1 import llm_router_pb2 as pb

from bench.results import Table, add_json_option
from tests.emulators.router_harness import RouterHarness, asking, running_router, text_of
from tests.emulators.scenario import Scenario

TABLE = Table(
    "llm_router",
    "llm_router_replay",
    ("identical", "recorded"),
    "Recorded streams of Anthropic and Gemini that give the same text, tool calls, end and usage through the service "
    "as through the vendor SDK.",
)
MODELS = {"anthropic": "claude-sonnet-5-5", "gemini": "gemini-3.8-flash"}
ENDS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_REFUSAL: "refusal",
}
SDK_ENDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "refusal",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "refusal",
}


@dataclass(frozen=True)
class Heard:
    """What a client made of a stream. Usage: input with and without cache, output, thinking."""

    text: str
    calls: tuple[tuple[str, str], ...]
    end: str
    usage: tuple[int, int, int]


def recordings(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Vendor, name and body of every recorded stream in `folder`."""
    for vendor in MODELS:
        for path in sorted((folder / vendor).glob("*")):
            for number, body in enumerate(_bodies(vendor, path)):
                yield vendor, f"{path.name}[{number}]", body


def _bodies(vendor: str, path: Path) -> Iterator[bytes]:
    if path.name.endswith(".chunks.txt"):
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        heads = [f"event: {json.loads(line)['type']}\n" if vendor == "anthropic" else "" for line in lines]
        yield "".join(f"{head}data: {line}\n\n" for head, line in zip(heads, lines, strict=True)).encode()
    elif path.name.endswith("_response.txt"):
        yield path.read_bytes()
    elif path.suffix == ".yaml":
        for interaction in yaml.safe_load(path.read_text("utf-8"))["interactions"]:
            body = _body(interaction["response"])
            if b"data: " in body[:200]:
                yield body


def _body(response: dict[str, Any]) -> bytes:
    held = response.get("body", {}).get("string", b"")
    body: bytes = held.encode() if isinstance(held, str) else held
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


async def by_sdk(vendor: str, url: str) -> Heard:
    """What the vendor's SDK accumulates from the next stream at `url`."""
    return await (_by_anthropic(url) if vendor == "anthropic" else _by_gemini(url))


async def _by_anthropic(url: str) -> Heard:
    async with AsyncAnthropic(api_key="key", base_url=url, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "x"}]
        async with client.messages.stream(model=MODELS["anthropic"], max_tokens=100, messages=messages) as stream:
            message = await stream.get_final_message()
    usage = message.usage
    prompt = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return Heard(
        "".join(b.text for b in message.content if b.type == "text"),
        tuple((b.name, _canonical(b.input)) for b in message.content if b.type == "tool_use"),
        SDK_ENDS.get(message.stop_reason or "", "cut"),
        (prompt, usage.cache_read_input_tokens or 0, usage.output_tokens),
    )


async def _by_gemini(url: str) -> Heard:
    client = Client(api_key="key", vertexai=False, http_options=types.HttpOptions(base_url=url))
    text, calls, end, usage = "", list[tuple[str, str]](), "cut", (0, 0, 0)
    stream = await client.aio.models.generate_content_stream(model=MODELS["gemini"], contents="x")
    # Closed here: a stream left to the garbage collector may be closed a second time when the event loop ends.
    async with aclosing(cast("AsyncGenerator[types.GenerateContentResponse, None]", stream)) as chunks:
        async for chunk in chunks:
            for part in _parts(chunk):
                text += part.text if part.text and not part.thought else ""
                if part.function_call:
                    calls.append((part.function_call.name or "", _canonical(part.function_call.args or {})))
            if chunk.candidates and chunk.candidates[0].finish_reason:
                end = SDK_ENDS.get(chunk.candidates[0].finish_reason.value, "stop")
            if chunk.usage_metadata:
                row = chunk.usage_metadata
                output = (row.candidates_token_count or 0) + (row.thoughts_token_count or 0)
                usage = (row.prompt_token_count or 0, row.cached_content_token_count or 0, output)
    await client.aio.aclose()
    return Heard(text, tuple(calls), "tool_calls" if calls and end == "stop" else end, usage)


def _parts(chunk: types.GenerateContentResponse) -> list[types.Part]:
    content = chunk.candidates[0].content if chunk.candidates else None
    return (content.parts if content else None) or []


def _canonical(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True)


async def by_router(w: RouterHarness, vendor: str) -> Heard:
    """What the router makes of the next stream."""
    events = await w.answer(asking("x", pin_model=MODELS[vendor]))
    finish = events[-1].finish
    calls = [e.tool_call for e in events if e.HasField("tool_call")]
    usage = finish.usage
    return Heard(
        text_of(events),
        tuple((c.name, _canonical(json.loads(c.arguments_json))) for c in calls),
        ENDS.get(finish.reason, "cut"),
        (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens),
    )


async def replay(folder: Path) -> list[bool]:
    """Print a line for each recording; return for each whether the answers are identical."""
    identical: list[bool] = []
    async with running_router() as w:
        for vendor, name, body in recordings(folder):
            emulator = w.anthropic if vendor == "anthropic" else w.gemini
            emulator.play("*", Scenario(body=body), Scenario(body=body))
            expected = await by_sdk(vendor, emulator.url)
            heard = await by_router(w, vendor)
            same = heard == expected
            identical.append(same)
            print(f"{'same ' if same else 'DIFF '} {vendor:10} {name}: {len(heard.text)} characters, {heard.usage}")
            if not same:
                print(f"      sdk    {expected}\n      router {heard}")
    return identical


def row(identical: Sequence[bool]) -> list[str]:
    """Return the row of the table."""
    return [str(sum(identical)), str(len(identical))]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    add_json_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    left_open: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        left_open.append(f"{context['message']}: {context.get('exception')}")
        loop.default_exception_handler(context)

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(note)
        identical = runner.run(replay(options.folder))
    TABLE.publish([row(identical)], write=options.json)
    if left_open:
        sys.exit(f"replay: {len(left_open)} streams or tasks were not closed in order; the first: {left_open[0]}")
    sys.exit(0 if all(identical) else 1)


if __name__ == "__main__":
    main()
