"""Tools that the agent offers to the model: knowledge search, and the tenant's backend."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from livekit.agents import RunContext, ToolError, function_tool, llm

from hocket.chassis.errors import MeshError, NotFound
from services.media_gateway.adapters.backend import BackendClient
from services.media_gateway.session.knowledge import KnowledgeSearch
from services.media_gateway.turns import tool_schemas
from services.media_gateway.turns.turn_log import TurnLog

_log = structlog.get_logger()


class AgentTools:
    """Implements the tools. A tool that fails returns an error text to the model, and the conversation goes on."""

    def __init__(
        self,
        room: str,
        user_id: Callable[[], str],
        turn_log: TurnLog,
        backend: BackendClient | None,
        knowledge: KnowledgeSearch | None,
    ) -> None:
        """Offer tools in one session.

        Args:
            room: Name of the room within the tenant.
            user_id: Returns the identity of the participant the session listens to now, who may be another person
                than the one the agent was dispatched for.
            turn_log: Log in which each tool call is recorded.
            backend: The tenant's backend; None leaves its tools out.
            knowledge: Search of rag; None leaves its tool out.
        """
        self._room = room
        self._user_id = user_id
        self._turn_log = turn_log
        self._backend = backend
        self._knowledge = knowledge
        # Call ids repeat across sessions; with this prefix they are unique idempotency keys for the backend.
        self._session_id = uuid.uuid4().hex

    def available(self) -> list[llm.Tool | llm.Toolset]:
        """Return the tools for livekit-agents."""
        available: list[llm.Tool | llm.Toolset] = []
        if self._knowledge:
            available.append(_tool(self._search_knowledge, tool_schemas.SEARCH_KNOWLEDGE))
        if self._backend:
            available += [
                _tool(self._get_user_profile, tool_schemas.GET_USER_PROFILE),
                _tool(self._create_task, tool_schemas.CREATE_TASK),
                _tool(self._log_insight, tool_schemas.LOG_INSIGHT),
            ]
        return available

    async def _search_knowledge(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        query = tool_schemas.text_argument(raw_arguments, "query")
        with _RecordedToolCall(self._turn_log, context, "rag"):
            if self._knowledge is None or not query:
                return "[]"
            passages = await self._knowledge.search(query)
            return json.dumps([{"title": p.title, "text": p.text, "document_id": p.document_id} for p in passages])

    async def _get_user_profile(
        self,
        raw_arguments: dict[str, object],  # noqa: ARG002 - livekit-agents passes raw arguments by this name
        context: RunContext[Any],
    ) -> str:
        with _RecordedToolCall(self._turn_log, context, "backend"):
            try:
                return json.dumps(await self._require_backend().get_user(self._user_id()))
            except NotFound:
                return json.dumps({"user_id": self._user_id(), "known": False})

    async def _create_task(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        title = tool_schemas.text_argument(raw_arguments, "title")
        if not title:
            raise ToolError("title is empty; ask the person what is to be done")
        with _RecordedToolCall(self._turn_log, context, "backend"):
            task = await self._require_backend().create_task(
                title,
                tool_schemas.text_argument(raw_arguments, "due"),
                room=self._room,
                user_id=self._user_id(),
                idempotency_key=self._idempotency_key(context),
            )
            return json.dumps(task)

    async def _log_insight(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        text = tool_schemas.text_argument(raw_arguments, "text")
        if not text:
            raise ToolError("text is empty; state the fact in one sentence")
        with _RecordedToolCall(self._turn_log, context, "backend"):
            insight = await self._require_backend().log_insight(
                text, room=self._room, user_id=self._user_id(), idempotency_key=self._idempotency_key(context)
            )
            return json.dumps(insight)

    def _idempotency_key(self, context: RunContext[Any]) -> str:
        return f"{self._session_id}-{context.function_call.call_id}"

    def _require_backend(self) -> BackendClient:
        if self._backend is None:
            raise ToolError("no backend is configured")
        return self._backend


def _tool(function: Callable[..., Any], name: str) -> llm.Tool:
    return function_tool(function, raw_schema=tool_schemas.SCHEMAS[name])


class _RecordedToolCall:
    """Records a tool call in the turn log, and converts a MeshError into an error text for the model."""

    def __init__(self, turn_log: TurnLog, context: RunContext[Any], part: str) -> None:
        self._turn_log = turn_log
        self._call = context.function_call
        self._part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._turn_log.record_tool_call(self._call.name, self._call.arguments, ok=error is None)
        if isinstance(error, MeshError):
            self._turn_log.record_degraded(self._part)
            _log.warning("tool failed", tool=self._call.name, error=error.message)
            raise ToolError("this did not work because a service does not answer; tell the person so") from error
