"""Emulator of the Anthropic Messages API (version 2026-10-21): server-sent events, prompt cache, billing."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.emulators.scenario import Emulator, Scenario, Stream, digests, in_pieces, prefix_min, tokens_of, unmarked

API_VERSIONS = {"2023-06-01", "2026-10-21"}
LOOKBACK_BLOCKS = 20
# Tokens that count_tokens adds per message.
FRAMING_TOKENS = 7
WORDS = {"type", "text", "role"}
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass
class Written:
    """The part of an answer that was sent: text and further tokens. Billing starts with the first event."""

    begun: bool = False
    extra_tokens: int = 0
    content: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return self.begun + self.extra_tokens + tokens_of("".join(self.content))


class AnthropicEmulator(Emulator):
    """POST /v1/messages and /v1/messages/count_tokens."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/messages", self.messages), web.post("/v1/messages/count_tokens", self.count)]

    counts = True
    # Overrides of count_tokens: delay in seconds, event to wait for, and response body.
    count_s = 0.0
    count_gate: asyncio.Event | None = None
    count_body: bytes | None = None

    async def count(self, request: web.Request) -> web.Response:
        if not self.counts:
            return error(429, "as scripted")
        await asyncio.sleep(self.count_s)
        if self.count_gate is not None:
            await self.count_gate.wait()
        if self.count_body is not None:
            return web.Response(body=self.count_body, content_type="application/json")
        body = await request.json()
        words = sum(tokens_of(b["text"]) if set(b) <= WORDS else tokens_of(json.dumps(b)) for b in blocks_of(body))
        return web.json_response({"input_tokens": words + FRAMING_TOKENS * len(body["messages"])})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append({"body": body, "headers": dict(request.headers)})
        problem = self._problem(request, body)
        if problem:
            return error(400, problem)
        scenario = self.take(body["model"])
        await asyncio.sleep(scenario.connect_s)
        if scenario.kind == "status":
            headers = {} if scenario.retry_after_s is None else {"retry-after": f"{scenario.retry_after_s:g}"}
            return error(scenario.status, "as scripted", headers)
        usage = self._usage(body)
        if body["max_tokens"] == 0:
            self._bill(body["model"], usage, 0)
            return web.json_response(
                {
                    **message_of(body["model"], {**usage, "output_tokens": 0}),
                    "stop_reason": "max_tokens",
                }
            )
        stream = Stream(request, scenario)
        self.open_streams += 1
        written = Written()
        try:
            await self._answer(stream, body, scenario, usage, written)
            await stream.response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.record_disconnect()
            raise
        finally:
            self.open_streams -= 1
            if written.begun:
                self._bill(scenario.served_model or body["model"], usage, written.tokens)
        return stream.response

    def _problem(self, request: web.Request, body: dict[str, Any]) -> str:
        if request.headers.get("anthropic-version") not in API_VERSIONS:
            return "anthropic-version is not known"
        # The vendor also still accepts the old header name of the key.
        key = request.headers.get("authorization", "").startswith("Bearer ") or request.headers.get("x-api-key")
        if not key:
            return "no key"
        for name in ("temperature", "top_p", "top_k"):
            if name in body:
                return f"{name}: is not supported"
        turns = body.get("messages") or []
        if not turns or turns[0]["role"] != "user" or turns[-1]["role"] != "user":
            return "messages: must begin and end with the user"
        return (
            blank_problem(body) or call_problem(turns) or ("" if marks_of(body) <= 4 else "at most 4 cache breakpoints")
        )

    async def _answer(
        self, stream: Stream, body: dict[str, Any], scenario: Scenario, usage: dict[str, Any], written: Written
    ) -> None:
        if scenario.kind == "keep_alive":
            await stream.open()
            while True:
                await stream.send({"type": "ping"}, "ping")
                await asyncio.sleep(0.02)
        await asyncio.sleep(scenario.first_s)
        await stream.open()
        if scenario.body:
            await stream.response.write(scenario.body)
            return
        start = {
            "type": "message_start",
            "message": message_of(scenario.served_model or body["model"], {**usage, "output_tokens": 1}),
        }
        for _ in range(2 if scenario.kind == "duplicate_start" else 1):
            await stream.send(start, "message_start")
        written.begun = True
        await stream.send({"type": "ping"}, "ping")
        if not await self._blocks(stream, scenario, written):
            return
        reason = {"refusal": "refusal", "max_tokens_empty": "max_tokens"}.get(
            scenario.kind, "tool_use" if scenario.calls else "end_turn"
        )
        tail = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}
        await stream.send({**tail, "usage": {**usage, "output_tokens": written.tokens}}, "message_delta")
        await stream.send({"type": "message_stop"}, "message_stop")

    async def _blocks(self, stream: Stream, scenario: Scenario, written: Written) -> bool:
        """Send the content; return False if the scenario interrupts it."""
        if scenario.kind in {"refusal", "max_tokens_empty"}:
            written.extra_tokens += 4
            return True
        index = 0
        if scenario.thinking:
            await self._thinking(stream, scenario, written)
            index += 1
        if scenario.pieces:
            await self._start(stream, index, {"type": "text", "text": ""})
            for i, piece in enumerate(scenario.pieces):
                if i == scenario.after and scenario.kind != "ok" and not await self._break(stream, scenario):
                    return False
                sent = f"{time.monotonic_ns()} " if scenario.stamped else piece
                await self._delta(stream, index, {"type": "text_delta", "text": sent})
                written.content.append(piece)
                if scenario.between_s:
                    await asyncio.sleep(scenario.between_s)
            await stream.send({"type": "content_block_stop", "index": index}, "content_block_stop")
            index += 1
        for name, arguments in scenario.calls:
            text = json.dumps(arguments)
            block = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:20]}", "name": name, "input": {}}
            await self._start(stream, index, block)
            for piece in in_pieces(text, scenario.call_pieces):
                await self._delta(stream, index, {"type": "input_json_delta", "partial_json": piece})
                written.content.append(piece)
                if scenario.between_s:
                    await asyncio.sleep(scenario.between_s)
            await stream.send({"type": "content_block_stop", "index": index}, "content_block_stop")
            index += 1
        return True

    async def _thinking(self, stream: Stream, scenario: Scenario, written: Written) -> None:
        await self._start(stream, 0, {"type": "thinking", "thinking": "", "signature": ""})
        await self._delta(stream, 0, {"type": "thinking_delta", "thinking": scenario.thinking})
        signature = f"signed:{scenario.thinking}"
        await self._delta(stream, 0, {"type": "signature_delta", "signature": signature})
        await stream.send({"type": "content_block_stop", "index": 0}, "content_block_stop")
        written.extra_tokens += tokens_of(scenario.thinking)

    async def _break(self, stream: Stream, scenario: Scenario) -> bool:
        """Apply the interruption of the scenario; return True if the answer continues."""
        match scenario.kind:
            case "stall":
                await stream.forever()
            case "cut":
                return False
            case "reset":
                stream.drop(reset=True)
                return False
            case "error_event":
                body = {"type": "error", "error": {"type": scenario.error_type, "message": "as scripted"}}
                await stream.send(body, "error")
                return False
        return True

    @staticmethod
    async def _start(stream: Stream, index: int, block: dict[str, Any]) -> None:
        await stream.send(
            {"type": "content_block_start", "index": index, "content_block": block}, "content_block_start"
        )

    @staticmethod
    async def _delta(stream: Stream, index: int, delta: dict[str, Any]) -> None:
        await stream.send({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return usage with prompt caching: the longest known prefix is read, the rest is written."""
        blocks, model = blocks_of(body), body["model"]
        hashes = digests(blocks)
        sizes = [tokens_of(json.dumps(unmarked(b))) for b in blocks]
        until = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        marks = [i for i, b in enumerate(blocks) if mark_of(b) and until[i] >= prefix_min(model)]
        read = next(
            (
                until[i]
                for mark in reversed(marks)
                for i in range(mark, max(mark - LOOKBACK_BLOCKS, -1), -1)
                if self.cache.holds(model, hashes[i])
            ),
            0,
        )
        w5 = w1 = 0
        at = read
        for mark in marks:
            one_hour = mark_of(blocks[mark]).get("ttl") == "1h"
            self.cache.write(model, hashes[mark], 3600 if one_hour else 300)
            if until[mark] > at:
                w1, w5 = (w1 + until[mark] - at, w5) if one_hour else (w1, w5 + until[mark] - at)
                at = until[mark]
        return {
            "input_tokens": sum(sizes) - at,
            "cache_creation_input_tokens": w5 + w1,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": w5, "ephemeral_1h_input_tokens": w1},
        }

    def _bill(self, model: str, usage: dict[str, Any], output: int) -> None:
        split = usage["cache_creation"]
        self.charge(
            model,
            fresh=usage["input_tokens"],
            cached=usage["cache_read_input_tokens"],
            w5=split["ephemeral_5m_input_tokens"],
            w1=split["ephemeral_1h_input_tokens"],
            output=output,
        )


def message_of(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"type": "error", "error": {"type": TYPES.get(status, "api_error"), "message": message}}
    return web.json_response(body, status=status, headers={"request-id": "req_emulated", **(headers or {})})


def blocks_of(body: dict[str, Any]) -> list[Any]:
    """Return the parts of the prompt in cache order: tools, system, messages."""
    system = body.get("system") or []
    blocks: list[Any] = list(body.get("tools") or [])
    blocks += [{"type": "text", "text": system}] if isinstance(system, str) and system else list(system)
    for turn in body["messages"]:
        content = turn["content"]
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks += [{"role": turn["role"], **b} for b in content]
    return blocks


def mark_of(block: Any) -> dict[str, Any]:
    return block.get("cache_control") or {}


def marks_of(body: dict[str, Any]) -> int:
    return sum(bool(mark_of(b)) for b in blocks_of(body))


def blank_problem(body: dict[str, Any]) -> str:
    """Reject blank texts, empty messages and error results without text, as the vendor does."""
    for i, turn in enumerate(body["messages"]):
        if not turn["content"]:
            return f"messages.{i}: all messages must have non-empty content"
    for block in blocks_of(body):
        if block.get("type") == "text" and not block["text"].strip():
            return "text content blocks must contain non-whitespace text"
        if block.get("is_error") and not block.get("content"):
            return "tool_result: content cannot be empty if is_error is true"
    return ""


def call_problem(turns: list[dict[str, Any]]) -> str:
    """Require exactly one tool_result per tool_use at the start of the next turn, as the vendor does."""
    for i, turn in enumerate(turns):
        content = turn["content"] if isinstance(turn["content"], list) else []
        called = {b["id"] for b in content if b["type"] == "tool_use"}
        after = turns[i + 1]["content"] if i + 1 < len(turns) else []
        answered = {b["tool_use_id"] for b in after if isinstance(b, dict) and b["type"] == "tool_result"}
        if called - answered:
            return f"messages.{i}: tool_use without tool_result"
        if i + 1 < len(turns) and answered - called:
            return f"messages.{i + 1}: tool_result without tool_use"
    return ""
