"""Explicit caches of Gemini: created in the background where they pay, used until they expire, deleted when idle.

Gemini also caches implicitly, without a guarantee; an explicit cache costs one read plus storage. `explicit_cache_pays`
decides. Instructions and tools in a cache must not be sent with the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import structlog
from google.genai import Client, errors, types
from prometheus_client import Counter

from hocket.chassis import identity
from hocket.chassis.clock import Clock
from services.llm_router.adapters.mesh.cache_costs import CacheCosts
from services.llm_router.adapters.vendors.failures import UNSENT
from services.llm_router.adapters.vendors.gemini_request import config_of
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.request import Request
from services.llm_router.prompt_cache.breakpoints import TTL_5M_S, PrefixGaps, explicit_cache_pays

CACHES_MAX = 1000
CREATE_TIMEOUT_S = 10.0
# Not used in its last seconds: it could expire before the request arrives.
MARGIN_S = 20.0
SWEEP_S = 30.0
CACHES = Counter("hocket_llm_router_gemini_caches", "Explicit caches, by event.", ["event"])
_log = structlog.get_logger()
# After these errors the vendor has certainly created no cache.
_UNMADE = (errors.APIError, *UNSENT)


@dataclass(slots=True)
class _Cache:
    name: str
    until_s: float
    used_s: float


class GeminiCaches:
    """The explicit caches of one process."""

    def __init__(self, client: Client, clock: Clock, costs: CacheCosts) -> None:
        """Start without caches; `costs` records what each costs."""
        self._client = client
        self._clock = clock
        self._costs = costs
        self._gaps = PrefixGaps()
        self._caches: dict[str, _Cache] = {}
        self._creating: dict[str, asyncio.Task[None]] = {}
        # Unix seconds until which a prefix is not tried again after a failure.
        self._retry_after: dict[str, float] = {}
        self._swept_s = 0.0
        self._deleting: set[asyncio.Task[None]] = set()

    def config(self, request: Request, candidate: Candidate) -> types.GenerateContentConfig:
        """Return the configuration of a request, with a cache in place of instructions and tools where one exists."""
        config = config_of(request, candidate)
        if candidate.cache == "none":
            return config
        now = self._clock.time()
        owner = f"{identity.current().tenant_id}/{candidate.vendor_model}"
        gap_s = self._gaps.observe(request, owner, now)
        key = _key(request, candidate)
        self._sweep(now)
        cache = self._caches.get(key)
        if cache is not None and cache.until_s - MARGIN_S > now:
            cache.used_s = now
            config.cached_content = cache.name
            config.system_instruction = config.tools = config.tool_config = None
            CACHES.labels("used").inc()
        elif gap_s is not None and explicit_cache_pays(request, candidate, gap_s, now):
            self._start_creating(key, request, candidate, config)
        return config

    def forget(self, name: str) -> None:
        """Drop a cache that the vendor no longer has."""
        for key in [key for key, cache in self._caches.items() if cache.name == name]:
            del self._caches[key]
        CACHES.labels("vanished").inc()

    def _start_creating(
        self, key: str, request: Request, candidate: Candidate, config: types.GenerateContentConfig
    ) -> None:
        room = len(self._caches) + len(self._retry_after) < CACHES_MAX
        if room and key not in self._creating and key not in self._retry_after:
            task = asyncio.create_task(self._create_and_settle(key, request, candidate, config.model_copy()))
            self._creating[key] = task
            task.add_done_callback(lambda _: self._creating.pop(key, None))

    async def _create_and_settle(
        self, key: str, request: Request, candidate: Candidate, config: types.GenerateContentConfig
    ) -> None:
        costs, now = self._costs, self._clock.time()
        reserved = costs.reserve(candidate, request.prefix_tokens)
        try:
            made = await self._create(candidate, config)
        except _UNMADE as error:
            costs.release(reserved)
            self._defer(key, candidate, error)
        except (httpx2.TransportError, TimeoutError, ValueError) as error:
            costs.record_estimate(reserved)
            self._defer(key, candidate, error)
        except asyncio.CancelledError:
            costs.record_estimate(reserved)
            raise
        else:
            tokens = made.usage_metadata.total_token_count if made.usage_metadata else None
            costs.settle(reserved, candidate, tokens or request.prefix_tokens)
            self._caches[key] = _Cache(made.name or "", now + TTL_5M_S, now)
            CACHES.labels("made").inc()

    async def _create(self, candidate: Candidate, config: types.GenerateContentConfig) -> types.CachedContent:
        wanted = types.CreateCachedContentConfig(
            ttl=f"{TTL_5M_S:.0f}s",
            system_instruction=config.system_instruction,
            # Set by config_of; the field's type also allows plain functions.
            tools=cast("list[types.Tool] | None", cast("Any", config).tools),
            tool_config=config.tool_config,
        )
        async with asyncio.timeout(CREATE_TIMEOUT_S):
            return await self._client.aio.caches.create(model=candidate.vendor_model, config=wanted)

    def _defer(self, key: str, candidate: Candidate, error: Exception) -> None:
        self._retry_after[key] = self._clock.time() + TTL_5M_S
        CACHES.labels("refused").inc()
        _log.warning("gemini cache not created", model=candidate.alias, problem=type(error).__name__)

    def _sweep(self, now: float) -> None:
        """Drop expired caches, and delete idle ones to save their storage."""
        if now - self._swept_s < SWEEP_S:
            return
        self._swept_s = now
        self._retry_after = {key: until_s for key, until_s in self._retry_after.items() if until_s > now}
        for key, cache in list(self._caches.items()):
            if cache.until_s <= now:
                del self._caches[key]
            elif now - cache.used_s > TTL_5M_S / 2:
                del self._caches[key]
                task = asyncio.create_task(self._delete(cache))
                self._deleting.add(task)
                task.add_done_callback(self._deleting.discard)

    async def _delete(self, cache: _Cache) -> None:
        try:
            async with asyncio.timeout(CREATE_TIMEOUT_S):
                await self._client.aio.caches.delete(name=cache.name)
            CACHES.labels("deleted").inc()
        except (errors.APIError, httpx2.TransportError, TimeoutError) as error:
            # It expires within its five minutes.
            _log.warning("gemini cache not deleted", problem=type(error).__name__)

    async def close(self) -> None:
        """Record caches that are being created, and delete every cache."""
        ending = (*self._creating.values(), *self._deleting)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(*(self._delete(cache) for cache in self._caches.values()))
        self._caches.clear()


def _key(request: Request, candidate: Candidate) -> str:
    """Return the key of a prefix for one tenant and model; tenants never share a cache."""
    tools = [[t.name, t.description, t.parameters] for t in request.tools]
    held = [identity.current().tenant_id, candidate.vendor_model, request.system, tools, request.tool_choice.value]
    return hashlib.sha256(json.dumps(held, sort_keys=True, default=dict).encode()).hexdigest()
