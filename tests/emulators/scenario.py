"""Scripted behaviour and billing of an emulated vendor."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, cast

from aiohttp import web


@dataclass(frozen=True)
class Scenario:
    """Behaviour of one response.

    `kind` is one of:

    ok, keep_alive (nothing but keep-alives), stall (silent after `after` pieces), cut (closes without an end after
    `after` pieces), reset (drops the connection after `after` pieces), error_event (an error inside the stream after
    `after` pieces), status (refuses with `status`), refusal, max_tokens_empty, duplicate_start.
    """

    kind: str = "ok"
    text: str = "Hello there, this is an answer."
    thinking: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    # Number of pieces in which the arguments of a tool call are sent.
    call_pieces: int = 2
    after: int = 2
    first_s: float = 0.0
    between_s: float = 0.0
    connect_s: float = 0.0
    status: int = 503
    retry_after_s: float | None = None
    retry_info_s: float | None = None
    error_type: str = "overloaded_error"
    served_model: str | None = None
    # Number of pieces to send instead of the text, each with its send time in monotonic nanoseconds.
    stamped: int = 0
    # A recorded body to send unchanged.
    body: bytes = b""

    @property
    def pieces(self) -> list[str]:
        if self.stamped:
            return [""] * self.stamped
        words = self.text.split(" ")
        return [w if i == 0 else f" {w}" for i, w in enumerate(words)] if self.text else []


def in_pieces(text: str, count: int) -> list[str]:
    """Split `text` into at most `count` pieces of equal length."""
    size = -(-len(text) // count)
    return [text[i : i + size] for i in range(0, len(text), size)]


@dataclass(frozen=True)
class BillLine:
    """Charge of the vendor for one request, in tokens and micro-USD."""

    model: str
    input_tokens: int
    cached_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    output_tokens: int
    micro_usd: int


@dataclass(frozen=True)
class Fare:
    """Price of a model from a date on, up to a prompt length.

    Attributes:
        usd: USD per million tokens: input, output, cache read, cache write for 5 minutes, cache write for 1 hour.
        since: first day of the price.
        prompt_max: longest prompt in tokens.
    """

    usd: tuple[float, float, float, float, float]
    since: date = date.min
    prompt_max: float = float("inf")


# Price lists of the vendors; a single row applies to all dates and prompt lengths.
PRICES: dict[str, tuple[float, float, float, float, float] | tuple[Fare, ...]] = {
    "claude-haiku-5-5": (
        Fare((0.10, 0.50, 0.01, 0.125, 0.20), prompt_max=100_000),
        Fare((0.50, 2.50, 0.05, 0.625, 1.00)),
    ),
    "claude-sonnet-4-5": (3.00, 15.00, 0.30, 3.75, 6.00),
    "claude-sonnet-5-5": (2.00, 10.00, 0.10, 2.50, 4.00),
    "gemini-2.5-flash-lite": (0.10, 0.40, 0.01, 0.10, 0.10),
    "gemini-2.5-flash": (0.30, 2.50, 0.03, 0.30, 0.30),
    "gemini-3.5-flash-lite": (0.30, 2.50, 0.03, 0.30, 0.30),
    "gemini-3.8-flash": (
        Fare((1.50, 7.50, 0.15, 1.50, 1.50), since=date(2027, 1, 1)),
        Fare((0.75, 3.75, 0.075, 0.75, 0.75)),
    ),
}


def fare(model: str, prompt_tokens: int, at_s: float) -> tuple[float, float, float, float, float]:
    """Return the prices for a prompt at a time; zero for an unknown model."""
    rows = PRICES.get(model, (0.0, 0.0, 0.0, 0.0, 0.0))
    today = datetime.fromtimestamp(at_s, UTC).date()
    for row in rows:
        if isinstance(row, Fare) and row.since <= today and prompt_tokens <= row.prompt_max:
            return row.usd
    return cast("tuple[float, float, float, float, float]", rows)


STORAGE_PER_MTOK_HOUR = 1.00
PREFIX_MIN = {"claude-haiku-5-5": 4096, "gemini-2.5-flash-lite": 2048, "gemini-2.5-flash": 2048}
PREFIX_MIN_DEFAULT = {"claude": 1024, "gemini": 4096}


def tokens_of(text: str) -> int:
    """Return the token count of the emulated tokenizer: four bytes per token, rounded up."""
    return -(-len(text.encode()) // 4)


def prefix_min(model: str) -> int:
    return PREFIX_MIN.get(model, PREFIX_MIN_DEFAULT.get(model.partition("-")[0], 1024))


@dataclass
class PrefixCache:
    """Prompt prefixes by model and hash with their expiry; a read renews it."""

    now: Callable[[], float] = time.time
    _until: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def holds(self, model: str, digest: str) -> bool:
        until, ttl = self._until.get((model, digest), (0.0, 0.0))
        if until <= self.now():
            return False
        self._until[(model, digest)] = (self.now() + ttl, ttl)
        return True

    def write(self, model: str, digest: str, ttl_s: float) -> None:
        self._until[(model, digest)] = (self.now() + ttl_s, ttl_s)


def digests(blocks: list[Any]) -> list[str]:
    """Return the hash of each prefix of `blocks`, without cache breakpoints."""
    running, out = hashlib.sha256(), []
    for block in blocks:
        running.update(json.dumps(unmarked(block), sort_keys=True).encode())
        out.append(running.hexdigest())
    return out


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: unmarked(v) for k, v in value.items() if k != "cache_control"}
    return [unmarked(v) for v in value] if isinstance(value, list) else value


class Emulator:
    """A vendor on loopback that plays the queued scenarios of each model, then the default."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.default = Scenario()
        self.bill: list[BillLine] = []
        self.requests: list[dict[str, Any]] = []
        self.disconnected = asyncio.Event()
        self.disconnected_at_s = 0.0
        self.open_streams = 0
        self.cache = PrefixCache(now)
        self._now = now
        self._queued: dict[str, deque[Scenario]] = defaultdict(deque)
        self._always: dict[str, Scenario] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    def play(self, model: str, *scenarios: Scenario) -> None:
        """Queue scenarios for the next requests for `model` ("*" for any)."""
        self._queued[model].extend(scenarios)

    def always(self, model: str, scenario: Scenario) -> None:
        """Set the scenario for requests for `model` when the queue is empty."""
        self._always[model] = scenario

    def take(self, model: str) -> Scenario:
        for key in (model, "*"):
            if self._queued[key]:
                return self._queued[key].popleft()
        return self._always.get(model, self._always.get("*", self.default))

    def charge(self, model: str, *, fresh: int, cached: int = 0, w5: int = 0, w1: int = 0, output: int = 0) -> None:
        price = fare(model, fresh + cached + w5 + w1, self._now())
        exact = sum(round(p * 1e6) * n for p, n in zip(price, (fresh, output, cached, w5, w1), strict=True))
        self.bill.append(BillLine(model, fresh, cached, w5, w1, output, (exact + 500_000) // 1_000_000))

    def charge_storage(self, model: str, tokens: int, ttl_s: float) -> None:
        """Bill a cache for `ttl_s` seconds: its tokens once as input, and storage for the whole time."""
        usd_per_mtok = fare(model, tokens, self._now())[0] + STORAGE_PER_MTOK_HOUR * ttl_s / 3600
        self.bill.append(BillLine(model, tokens, 0, 0, 0, 0, int(usd_per_mtok * tokens + 0.5)))

    @property
    def total_micro_usd(self) -> int:
        return sum(line.micro_usd for line in self.bill)

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    async def start(self, port: int = 0) -> Emulator:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(self.routes())
        # A disconnect of the caller ends the answer, as it does at the vendor.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def record_disconnect(self) -> None:
        self.disconnected_at_s = time.monotonic()
        self.disconnected.set()


class Stream:
    """Writer of a server-sent event stream."""

    def __init__(self, request: web.Request, scenario: Scenario) -> None:
        self._request = request
        self._scenario = scenario
        self.response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def send(self, data: Any, event: str | None = None) -> None:
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        head = f"event: {event}\n" if event else ""
        await self.response.write(f"{head}data: {text}\n\n".encode())

    def drop(self, *, reset: bool) -> None:
        transport = self._request.transport
        if transport is not None:
            transport.abort() if reset else transport.close()

    async def forever(self) -> None:
        await asyncio.sleep(3600)
