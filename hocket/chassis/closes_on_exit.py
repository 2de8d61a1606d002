"""Base of what is used in `async with` and closes at the end of the block."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class ClosesOnExit:
    """Async context manager over the `close` of the subclass: `async with` returns the object and closes it."""

    async def close(self) -> None:
        """Release what the object holds; every subclass has its own."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, whichever way the block ends."""
        await self.close()
