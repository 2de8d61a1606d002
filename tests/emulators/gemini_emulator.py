"""Emulator of the Gemini API: generateContent, streamGenerateContent, cachedContents, prompt cache, billing."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.emulators.scenario import Emulator, Scenario, Stream, digests, prefix_min, tokens_of

STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


class GeminiEmulator(Emulator):
    """POST /{version}/models/{model}:(stream)generateContent, and create, update and delete of cachedContents."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(now)
        self.cached_contents: dict[str, dict[str, Any]] = {}
        # Response to requests that create a cache.
        self.caching = Scenario()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/{version}/cachedContents", self.create_cache),
            web.delete("/{version}/cachedContents/{name}", self.delete_cache),
            web.post("/{version}/models/{call}", self.generate),
        ]

    async def create_cache(self, request: web.Request) -> web.Response:
        body = await request.json()
        scenario = self.caching
        if scenario.kind == "status":
            return error(scenario.status, "as scripted", scenario)
        name = f"cachedContents/{len(self.cached_contents) + 1}"
        tokens = sum(tokens_of(json.dumps(b)) for b in blocks_of(body))
        self.cached_contents[name] = {**body, "tokens": tokens}
        self.charge_storage(body["model"].removeprefix("models/"), tokens, float(body["ttl"].removesuffix("s")))
        await asyncio.sleep(scenario.first_s)
        row = {"name": name, "model": body["model"], "usageMetadata": {"totalTokenCount": tokens}}
        return web.json_response(row)

    async def delete_cache(self, request: web.Request) -> web.Response:
        self.cached_contents.pop(f"cachedContents/{request.match_info['name']}", None)
        return web.json_response({})

    async def generate(self, request: web.Request) -> web.StreamResponse:
        model, _, method = request.match_info["call"].partition(":")
        body = await request.json()
        self.requests.append({"body": body, "headers": dict(request.headers), "model": model})
        if not request.headers.get("x-goog-api-key"):
            return error(403, "no key")
        scenario = self.take(model)
        await asyncio.sleep(scenario.connect_s)
        if scenario.kind == "status":
            return error(scenario.status, "as scripted", scenario)
        if body.get("cachedContent") and body["cachedContent"] not in self.cached_contents:
            return error(403, "CachedContent not found (or permission denied)")
        fresh, cached = self._usage(model, body)
        written = [0, 0]
        if method == "generateContent":
            parts = [{"text": scenario.text}, *_calls(scenario)]
            self._count(written, scenario, scenario.pieces)
            self.charge(scenario.served_model or model, fresh=fresh, cached=cached, output=sum(written))
            return web.json_response(self._chunk(model, scenario, parts, fresh + cached, cached, written, "STOP"))
        stream = Stream(request, scenario)
        self.open_streams += 1
        try:
            await self._answer(stream, model, scenario, (fresh, cached), written)
            await stream.response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.record_disconnect()
            raise
        finally:
            self.open_streams -= 1
            # An answer without any event is not billed.
            if len(written) > 2:
                self.charge(scenario.served_model or model, fresh=fresh, cached=cached, output=sum(written[:2]))
        return stream.response

    @staticmethod
    def _count(written: list[int], scenario: Scenario, pieces: list[str]) -> None:
        written[1] = tokens_of(scenario.thinking)
        written[0] += sum(tokens_of(p) for p in pieces)

    async def _answer(
        self, stream: Stream, model: str, scenario: Scenario, prompt: tuple[int, int], written: list[int]
    ) -> None:
        fresh, cached = prompt
        if scenario.kind == "keep_alive":
            await stream.open()
            while True:
                await stream.response.write(b": keep-alive\n\n")
                await asyncio.sleep(0.02)
        await asyncio.sleep(scenario.first_s)
        await stream.open()
        if scenario.body:
            await stream.response.write(scenario.body)
            return
        written[1] = tokens_of(scenario.thinking)
        for i, piece in enumerate(scenario.pieces):
            if scenario.kind in {"refusal", "max_tokens_empty"}:
                break
            if i == scenario.after and not await self._continues(stream, scenario):
                return
            written[0] += tokens_of(piece)
            await stream.send(self._chunk(model, scenario, [{"text": piece}], fresh + cached, cached, written))
            written[2:] = [1]
            if scenario.between_s:
                await asyncio.sleep(scenario.between_s)
        await self._finish(stream, model, scenario, prompt, written)

    async def _finish(
        self, stream: Stream, model: str, scenario: Scenario, prompt: tuple[int, int], written: list[int]
    ) -> None:
        fresh, cached = prompt
        for part in _calls(scenario):
            written[0] += tokens_of(json.dumps(part["functionCall"]["args"]))
            await stream.send(self._chunk(model, scenario, [part], fresh + cached, cached, written))
        reason = {"refusal": "SAFETY", "max_tokens_empty": "MAX_TOKENS"}.get(scenario.kind, "STOP")
        if scenario.kind == "max_tokens_empty":
            written[1] += 64
        last: list[dict[str, Any]] = [{"text": ""}]
        if scenario.thinking and not scenario.calls:
            last = [{"text": "", "thoughtSignature": base64.b64encode(scenario.thinking.encode()).decode()}]
        await stream.send(self._chunk(model, scenario, last, fresh + cached, cached, written, reason))
        written[2:] = [1]

    async def _continues(self, stream: Stream, scenario: Scenario) -> bool:
        match scenario.kind:
            case "stall":
                await stream.forever()
            case "cut":
                return False
            case "reset":
                stream.drop(reset=True)
                return False
            case "error_event":
                row = {"error": {"code": 503, "message": "as scripted", "status": "UNAVAILABLE"}}
                await stream.send(row)
                return False
        return True

    @staticmethod
    def _chunk(
        model: str,
        scenario: Scenario,
        parts: list[dict[str, Any]],
        prompt: int,
        cached: int,
        written: list[int],
        reason: str | None = None,
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        usage = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": written[0],
            "thoughtsTokenCount": written[1],
            "totalTokenCount": prompt + sum(written[:2]),
        }
        if cached:
            usage["cachedContentTokenCount"] = cached
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": scenario.served_model or model}

    def _usage(self, model: str, body: dict[str, Any]) -> tuple[int, int]:
        """Return fresh and cached tokens: from the named cache, else from the longest known prefix."""
        blocks = blocks_of(body)
        sizes = [tokens_of(json.dumps(b)) for b in blocks]
        named = self.cached_contents.get(body.get("cachedContent") or "")
        if named is not None:
            return sum(sizes), named["tokens"]
        hashes = digests(blocks)
        until = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        long_enough = [i for i in range(len(sizes)) if until[i] >= prefix_min(model)]
        read = next((until[i] for i in reversed(long_enough) if self.cache.holds(model, hashes[i])), 0)
        for i in long_enough:
            self.cache.write(model, hashes[i], 300)
        return sum(sizes) - read, read


def _calls(scenario: Scenario) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"functionCall": {"name": n, "args": a}} for n, a in scenario.calls]
    if parts and scenario.thinking:
        parts[0]["thoughtSignature"] = base64.b64encode(scenario.thinking.encode()).decode()
    return parts


def blocks_of(body: dict[str, Any]) -> list[Any]:
    system = body.get("systemInstruction")
    turns = body.get("contents") or []
    return [*(body.get("tools") or []), *([system] if system else []), *turns]


def error(status: int, message: str, scenario: Scenario | None = None) -> web.Response:
    row: dict[str, Any] = {"code": status, "message": message, "status": STATUSES.get(status, "INTERNAL")}
    if scenario is not None and scenario.retry_info_s is not None:
        delay = f"{scenario.retry_info_s:g}s"
        row["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    headers = {}
    if scenario is not None and scenario.retry_after_s is not None:
        headers["retry-after"] = f"{scenario.retry_after_s:g}"
    return web.json_response({"error": row}, status=status, headers=headers)
