"""What a model has said and its caller has not taken yet, within bounds."""

from __future__ import annotations

import asyncio
from collections import deque

from services.llm_router.chat.events import ProviderStateEvent, TextDelta, ToolCallEvent

OutputEvent = TextDelta | ToolCallEvent | ProviderStateEvent
# With fewer deltas waiting than this each is passed on alone; with n times as many, n + 1 go together.
DELTAS_PER_MERGE = 8
# About bytes; a vendor that floods is not read beyond them.
BUFFERED_BYTES_MAX = 256 * 1024


class OutputBuffer:
    """A queue from the task that reads a vendor to the one that serves a caller."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: deque[OutputEvent] = deque()
        self._size = 0
        self._taken = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the vendor is not read further until something is taken."""
        return self._size > BUFFERED_BYTES_MAX

    def add(self, event: OutputEvent) -> None:
        """Put `event` behind the others."""
        self._waiting.append(event)
        self._size += _size_of(event)

    async def wait_for_space(self) -> None:
        """Wait until the caller has taken enough of what waits."""
        while self.full:
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> OutputEvent:
        """The next event; several deltas as one, the more of them the longer the backlog, never waiting for any."""
        event = self._take_one()
        if not isinstance(event, TextDelta):
            return event
        pieces = [event.text]
        for _ in range(len(self._waiting) // DELTAS_PER_MERGE):
            following = self._waiting[0]
            if not isinstance(following, TextDelta):
                break
            pieces.append(following.text)
            self._take_one()
        return TextDelta("".join(pieces)) if len(pieces) > 1 else event

    def _take_one(self) -> OutputEvent:
        event = self._waiting.popleft()
        self._size -= _size_of(event)
        self._taken.set()
        return event


def _size_of(event: OutputEvent) -> int:
    match event:
        case TextDelta():
            return len(event.text)
        case ToolCallEvent():
            return len(event.call.arguments_json)
        case ProviderStateEvent():
            return len(event.data)
