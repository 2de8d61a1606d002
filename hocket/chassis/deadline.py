"""How much time the running RPC has left, and what of it an outgoing call may use."""

from __future__ import annotations

import time
from contextvars import ContextVar

from hocket.chassis.errors import DeadlineExceeded

# The server gives up this much before its caller does, so that the nearest service reports the timeout
# (letsencrypt/boulder, grpc/interceptors.go, shaves 20 ms).
SHAVE_S = 0.020

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def bind(seconds: float | None) -> None:
    """The RPC running in this task ends in `seconds`; None for no end."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds left of the running RPC, or None when nothing bounds it."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def timeout_for(wanted_s: float) -> float:
    """Timeout of an outgoing call in seconds: `wanted_s`, or less when the running RPC ends before.

    Raises DeadlineExceeded when nothing is left.
    """
    left = remaining()
    if left is None:
        return wanted_s
    if left <= 0:
        raise DeadlineExceeded("the caller's deadline has passed")
    return min(wanted_s, left)
