"""Passages for a turn: prefetched from rag while the user speaks, awaited for a bounded time by the model call."""

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
# A search by the model's tool call may take longer: the user hears that the agent is working on it.
_TOOL_SEARCH_BUDGET_S = 4 * SEARCH_BUDGET_S
_TOOL_SEARCH_TIMEOUT_S = 3 * _SEARCH_TIMEOUT_S
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KnowledgeResult:
    """Passages for one turn.

    Attributes:
        passages: Passages, best first.
        waited_ms: Milliseconds the turn waited for them.
        prefetched: Whether the search had started before the turn asked for it.
        degraded: `rag` if passages are missing, incomplete or from an earlier search.
    """

    passages: Sequence[rag_pb2.Passage] = ()
    waited_ms: int = 0
    prefetched: bool = False
    degraded: Sequence[str] = field(default=())


class KnowledgeSearch:
    """Searches of one room. Fail-open: a turn waits at most `wait_s` and goes on without passages."""

    def __init__(self, client: RagClient, *, passages_max: int, wait_s: float, debounce_s: float) -> None:
        """Search for one room.

        Args:
            client: Client whose token names the tenant.
            passages_max: Passages per search.
            wait_s: Seconds a turn waits for passages.
            debounce_s: Seconds a prefetch waits for a longer transcript before it searches.
        """
        self._client = client
        self._passages_max = passages_max
        self._wait_s = wait_s
        self._debounce_s = debounce_s
        self._task: asyncio.Task[rag_pb2.SearchResponse] | None = None
        self._task_text = ""
        self._latest: tuple[str, rag_pb2.SearchResponse] | None = None
        self._needed_now = asyncio.Event()

    def prefetch(self, text: str) -> None:
        """Start a search for an interim transcript; it replaces the search for an earlier transcript."""
        if not search_query.is_searchable(text) or search_query.words(text) == search_query.words(self._task_text):
            return
        self._start(text, self._debounce_s)

    async def passages_for(self, text: str) -> KnowledgeResult:
        """Return passages for the user's whole input, from the prefetched search if it was for the same words.

        Args:
            text: The user's input; too short a text gets no passages.

        Returns:
            The passages. If the search is late or fails: those of an earlier search for nearly the same question, or
            none, marked as degraded.
        """
        if not search_query.is_searchable(text):
            return KnowledgeResult()
        started_s = time.monotonic()
        prefetched = search_query.words(text) == search_query.words(self._task_text)
        if not prefetched:
            self._start(text, 0)
        self._needed_now.set()
        task = self._task
        assert task is not None  # noqa: S101 - _start sets it together with _task_text
        try:
            async with asyncio.timeout(self._wait_s):
                # Shielded: cancelling one speculative model call must not cancel the search for the next one.
                response = await asyncio.shield(task)
        except (TimeoutError, MeshError) as error:
            _log.info("knowledge late", error=str(error) or "timeout")
            return self._earlier_result(text, _ms_since(started_s))
        except asyncio.CancelledError:
            if task.cancelled() and not _current_task_is_cancelled():
                # A newer prefetch has replaced the search.
                return self._earlier_result(text, _ms_since(started_s))
            raise
        degraded = ["rag"] if response.degraded else []
        return KnowledgeResult(response.passages, _ms_since(started_s), prefetched, degraded)

    async def search(self, query: str) -> Sequence[rag_pb2.Passage]:
        """Search for a query that the model wrote in a tool call.

        Raises:
            MeshError: rag failed or did not answer within 3 s.
        """
        response = await self._client.search(
            search_query.truncated_query(query),
            k=self._passages_max,
            budget_s=_TOOL_SEARCH_BUDGET_S,
            timeout_s=_TOOL_SEARCH_TIMEOUT_S,
        )
        return response.passages

    async def close(self) -> None:
        """Cancel the running search."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self, text: str, debounce_s: float) -> None:
        if self._task:
            self._task.cancel()
        self._task_text = text
        self._needed_now = asyncio.Event()
        self._task = asyncio.create_task(self._search(text, debounce_s), name="knowledge-search")
        # Retrieves the exception, or asyncio would log the failure of a prefetch that no turn waited for.
        self._task.add_done_callback(lambda task: None if task.cancelled() else task.exception())

    async def _search(self, text: str, debounce_s: float) -> rag_pb2.SearchResponse:
        # A turn that needs the passages ends the debounce.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._needed_now.wait(), debounce_s)
        response = await self._client.search(
            search_query.truncated_query(text),
            k=self._passages_max,
            budget_s=SEARCH_BUDGET_S,
            timeout_s=_SEARCH_TIMEOUT_S,
        )
        self._latest = (text, response)
        return response

    def _earlier_result(self, text: str, waited_ms: int) -> KnowledgeResult:
        if self._latest and search_query.is_same_question(self._latest[0], text):
            return KnowledgeResult(self._latest[1].passages, waited_ms, prefetched=True, degraded=["rag"])
        return KnowledgeResult(waited_ms=waited_ms, degraded=["rag"])


def _ms_since(started_s: float) -> int:
    return round((time.monotonic() - started_s) * 1000)


def _current_task_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
