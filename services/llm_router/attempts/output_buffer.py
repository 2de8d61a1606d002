"""Bounded buffer between the task that reads a vendor and the one that serves the caller."""

from __future__ import annotations

import asyncio
from collections import deque

from services.llm_router.chat.events import ProviderStateEvent, TextDelta, ToolCallEvent

OutputEvent = TextDelta | ToolCallEvent | ProviderStateEvent
# Below this many waiting deltas each is forwarded alone; with n times as many, n + 1 are merged.
DELTAS_PER_MERGE = 8
# Approximate bytes; reading from the vendor pauses above this (backpressure).
BUFFERED_BYTES_MAX = 256 * 1024


class OutputBuffer:
    """FIFO of output events."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[OutputEvent] = deque()
        self._size = 0
        self._taken = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """True while reading from the vendor must pause."""
        return self._size > BUFFERED_BYTES_MAX

    def add(self, event: OutputEvent) -> None:
        """Append `event`."""
        self._waiting.append(event)
        self._size += _size_of(event)

    async def wait_for_space(self) -> None:
        """Wait until the caller has taken enough."""
        while self.full:
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> OutputEvent:
        """Return the next event; text deltas are merged in proportion to the backlog, without waiting for more."""
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
