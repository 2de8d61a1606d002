"""Passages for a turn: searched while the person still speaks, and there when the model is asked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from hocket.rag.v1 import rag_pb2

from hocket.chassis.errors import MeshError
from hocket.client.rag import RagClient
from services.media_gateway.turns import search_query

SEARCH_BUDGET_S = 0.25
_SEARCH_TIMEOUT_S = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """What a turn got: passages best first, how long it waited, and what was left out."""

    passages: Sequence[rag_pb2.Passage] = ()
    waited_ms: int = 0
    prefetched: bool = False
    degraded: Sequence[str] = field(default=())


class Knowledge:
    """Searches of one room. Fail-open: a turn never waits longer than its bound, nor fails for want of knowledge."""

    def __init__(self, client: RagClient, *, passages_max: int, wait_s: float, debounce_s: float) -> None:
        """Search over `client`."""
        self._client = client
        self._passages_max = passages_max
        self._wait_s = wait_s
        self._debounce_s = debounce_s
        self._searching: asyncio.Task[rag_pb2.SearchResponse] | None = None
        self._searching_for = ""
        self._latest: tuple[str, rag_pb2.SearchResponse] | None = None
        self._hurry = asyncio.Event()

    def prefetch(self, text: str) -> None:
        """Search for what has been said so far; the latest text wins."""
        if not search_query.is_searchable(text) or search_query.words(text) == search_query.words(self._searching_for):
            return
        self._begin(text, self._debounce_s)

    async def find(self, text: str) -> Found:
        """Passages for a whole question."""
        if not search_query.is_searchable(text):
            return Found()
        started_s = time.monotonic()
        prefetched = search_query.words(text) == search_query.words(self._searching_for)
        if not prefetched:
            self._begin(text, 0)
        self._hurry.set()
        task = self._searching
        assert task is not None  # noqa: S101 - set by whoever set what is searched for
        try:
            async with asyncio.timeout(self._wait_s):
                # Shielded: a speculation that is dropped must not end the search of the one that counts.
                response = await asyncio.shield(task)
        except (TimeoutError, MeshError) as error:
            _log.info("knowledge late", error=str(error) or "timeout")
            return self._second_best(text, _ms_since(started_s))
        except asyncio.CancelledError:
            if task.cancelled() and not _cancelling():
                return self._second_best(text, _ms_since(started_s))
            raise
        degraded = ["rag"] if response.degraded else []
        return Found(response.passages, _ms_since(started_s), prefetched, degraded)

    async def search(self, query: str) -> Sequence[rag_pb2.Passage]:
        """Search now, with time to spare: for the model's own search_query. Raises MeshError."""
        response = await self._client.search(
            search_query.query(query),
            k=self._passages_max,
            budget_s=SEARCH_BUDGET_S * 4,
            timeout_s=_SEARCH_TIMEOUT_S * 3,
        )
        return response.passages

    async def close(self) -> None:
        """End what is being searched."""
        if self._searching:
            self._searching.cancel()
            await asyncio.gather(self._searching, return_exceptions=True)

    def _begin(self, text: str, rest_s: float) -> None:
        if self._searching:
            self._searching.cancel()
        self._searching_for = text
        self._hurry = asyncio.Event()
        self._searching = asyncio.create_task(self._search(text, rest_s), name="knowledge-search")
        # A failed prefetch that nobody waited for is no news.
        self._searching.add_done_callback(lambda task: None if task.cancelled() else task.exception())

    async def _search(self, text: str, rest_s: float) -> rag_pb2.SearchResponse:
        # More words may come; a turn that waits for the passages ends the rest.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), rest_s)
        response = await self._client.search(
            search_query.query(text), k=self._passages_max, budget_s=SEARCH_BUDGET_S, timeout_s=_SEARCH_TIMEOUT_S
        )
        self._latest = (text, response)
        return response

    def _second_best(self, text: str, waited_ms: int) -> Found:
        if self._latest and search_query.answers_too(self._latest[0], text):
            return Found(self._latest[1].passages, waited_ms, prefetched=True, degraded=["rag"])
        return Found(waited_ms=waited_ms, degraded=["rag"])


def _ms_since(started_s: float) -> int:
    return round((time.monotonic() - started_s) * 1000)


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
