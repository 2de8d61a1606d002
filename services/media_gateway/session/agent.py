"""The agent of a room: its instructions, and the tools it offers to the model."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from livekit.agents import Agent, RunContext, ToolError, function_tool, llm

from hocket.chassis.errors import MeshError, NotFound
from services.media_gateway.adapters.backend import BackendClient
from services.media_gateway.session.knowledge import Knowledge
from services.media_gateway.turns import tool_schemas
from services.media_gateway.turns.turn_log import TurnBook

_log = structlog.get_logger()


class Toolbox:
    """What the tools do. A tool that fails tells the model so, and the conversation goes on."""

    def __init__(
        self,
        room: str,
        user_id: Callable[[], str],
        book: TurnBook,
        backend: BackendClient | None,
        knowledge: Knowledge | None,
    ) -> None:
        """Offer what `backend` and `knowledge` can do; None leaves their tools out.

        `user_id` names the person who is being listened to now, who need not be the one the agent was sent for.
        """
        self._room = room
        self._user_id = user_id
        self._book = book
        self._backend = backend
        self._knowledge = knowledge
        # Under this name a call that is tried again is the same to the backend; ids of calls repeat across sessions.
        self._session_id = uuid.uuid4().hex

    def offered(self) -> list[llm.Tool | llm.Toolset]:
        """The tools as livekit-agents takes them."""
        offered: list[llm.Tool | llm.Toolset] = []
        if self._knowledge:
            offered.append(
                function_tool(self._search_knowledge, raw_schema=tool_schemas.SCHEMAS[tool_schemas.SEARCH_KNOWLEDGE])
            )
        if self._backend:
            offered += [
                function_tool(self._get_user_profile, raw_schema=tool_schemas.SCHEMAS[tool_schemas.GET_USER_PROFILE]),
                function_tool(self._create_task, raw_schema=tool_schemas.SCHEMAS[tool_schemas.CREATE_TASK]),
                function_tool(self._log_insight, raw_schema=tool_schemas.SCHEMAS[tool_schemas.LOG_INSIGHT]),
            ]
        return offered

    async def _search_knowledge(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        query = tool_schemas.text_argument(raw_arguments, "query")
        with _Noted(self._book, context, "rag"):
            if self._knowledge is None or not query:
                return "[]"
            found = await self._knowledge.search(query)
            return json.dumps([{"title": p.title, "text": p.text, "document_id": p.document_id} for p in found])

    async def _get_user_profile(
        self,
        raw_arguments: dict[str, object],  # noqa: ARG002 - a raw tool is given its arguments
        context: RunContext[Any],
    ) -> str:
        with _Noted(self._book, context, "backend"):
            try:
                return json.dumps(await self._there().user(self._user_id()))
            except NotFound:
                return json.dumps({"user_id": self._user_id(), "known": False})

    async def _create_task(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        title = tool_schemas.text_argument(raw_arguments, "title")
        if not title:
            raise ToolError("a task needs a title")
        with _Noted(self._book, context, "backend"):
            task = await self._there().create_task(
                title,
                tool_schemas.text_argument(raw_arguments, "due"),
                room=self._room,
                user_id=self._user_id(),
                idempotency_key=self._key(context),
            )
            return json.dumps(task)

    async def _log_insight(self, raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        text = tool_schemas.text_argument(raw_arguments, "text")
        if not text:
            raise ToolError("an insight needs a text")
        with _Noted(self._book, context, "backend"):
            kept = await self._there().log_insight(
                text, room=self._room, user_id=self._user_id(), idempotency_key=self._key(context)
            )
            return json.dumps(kept)

    def _key(self, context: RunContext[Any]) -> str:
        return f"{self._session_id}-{context.function_call.call_id}"

    def _there(self) -> BackendClient:
        if self._backend is None:
            raise ToolError("there is no backend")
        return self._backend


class _Noted:
    """Writes a tool's call into the book, and turns a failed one into words for the model."""

    def __init__(self, book: TurnBook, context: RunContext[Any], part: str) -> None:
        self._book = book
        self._call = context.function_call
        self._part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        turn = self._book.current
        if turn is not None:
            turn.tools.append({"name": self._call.name, "arguments": self._call.arguments, "ok": error is None})
        if isinstance(error, MeshError):
            self._book.degrade(self._part)
            _log.warning("tool failed", tool=self._call.name, error=error.message)
            raise ToolError("this did not work because a service does not answer; tell the person so") from error


class RoomAgent(Agent):
    """The agent that AgentSession runs."""

    def __init__(
        self,
        instructions: str,
        offered: list[llm.Tool | llm.Toolset],
        book: TurnBook,
        *,
        context: llm.ChatContext | None,
    ) -> None:
        """Speak by `instructions`; `context` is a conversation to carry on, or None."""
        super().__init__(instructions=instructions, tools=offered, chat_ctx=context)
        self._book = book

    async def on_user_turn_completed(
        self,
        turn_ctx: llm.ChatContext,  # noqa: ARG002 - must stay as it is, or the answer begun early is thrown away
        new_message: llm.ChatMessage,  # noqa: ARG002 - the same
    ) -> None:
        """The person has finished."""
        self._book.confirm()
