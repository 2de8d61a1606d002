"""Emulator of the OpenAI chat API as vLLM and Ollama serve it."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from aiohttp import web

from tests.emulators.scenario import Emulator, Scenario, Stream, in_pieces, tokens_of


class OpenAiEmulator(Emulator):
    """POST /v1/chat/completions, streaming only."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/chat/completions", self.chat)]

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append({"body": body, "headers": dict(request.headers)})
        if any(m.get("content") is None and not m.get("tool_calls") for m in body["messages"]):
            return web.json_response({"error": {"message": "content: must not be null"}}, status=400)
        scenario = self.take(body["model"])
        await asyncio.sleep(scenario.connect_s)
        if scenario.kind == "status":
            headers = {} if scenario.retry_after_s is None else {"retry-after": f"{scenario.retry_after_s:g}"}
            return web.json_response({"error": {"message": "as scripted"}}, status=scenario.status, headers=headers)
        stream = Stream(request, scenario)
        prompt = sum(tokens_of(json.dumps(m)) for m in body["messages"])
        try:
            await self._answer(stream, body["model"], scenario, prompt)
            await stream.response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.record_disconnect()
            raise
        return stream.response

    async def _answer(self, stream: Stream, model: str, scenario: Scenario, prompt: int) -> None:
        await asyncio.sleep(scenario.first_s)
        await stream.open()
        if scenario.body:
            await stream.response.write(scenario.body)
            return
        written = 0
        await stream.send(_chunk(model, {"role": "assistant", "content": ""}))
        for i, piece in enumerate(scenario.pieces):
            if i == scenario.after and scenario.kind in {"cut", "reset", "stall"}:
                if scenario.kind == "stall":
                    await stream.forever()
                if scenario.kind == "reset":
                    stream.drop(reset=True)
                return
            written += tokens_of(piece)
            await stream.send(_chunk(model, {"content": piece}))
            if scenario.between_s:
                await asyncio.sleep(scenario.between_s)
        for index, (name, arguments) in enumerate(scenario.calls):
            text = json.dumps(arguments)
            head = {"index": index, "id": f"call_{uuid.uuid4().hex[:8]}", "type": "function"}
            await stream.send(_chunk(model, {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]}))
            for piece in in_pieces(text, scenario.call_pieces):
                await stream.send(_chunk(model, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
                if scenario.between_s:
                    await asyncio.sleep(scenario.between_s)
            written += tokens_of(text)
        await stream.send(_chunk(model, {}, "tool_calls" if scenario.calls else "stop"))
        usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        await stream.send({**_chunk(model, {}), "choices": [], "usage": usage})
        await stream.send("[DONE]")


def _chunk(model: str, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
