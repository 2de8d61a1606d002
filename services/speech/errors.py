"""Errors of the speech service beyond those of the chassis, each with its reason."""

from __future__ import annotations

from hocket.chassis.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable


def out_of_order(problem: str) -> InvalidArgument:
    """Return STREAM_ORDER: a message came where the contract forbids it; `problem` says what to send."""
    return InvalidArgument(problem, fields={"payload": problem}, reason="STREAM_ORDER")


def too_large(field: str, problem: str) -> InvalidArgument:
    """Return TOO_LARGE for `field`; `problem` states the limit."""
    return InvalidArgument(f"{field}: {problem}", fields={field: problem}, reason="TOO_LARGE")


def engine_failed(provider: str, problem: str) -> Unavailable:
    """Return DEPENDENCY_UNAVAILABLE: the engine failed or timed out, and a retry may succeed."""
    return Unavailable(f"{provider}: {problem}; retry", metadata={"provider": provider}, retry_after_s=1)


def credentials_refused(provider: str) -> FailedPrecondition:
    """Return VENDOR_CREDENTIALS: the vendor refuses the configured key."""
    return FailedPrecondition(
        f"{provider} refused the configured key; configure a valid one",
        reason="VENDOR_CREDENTIALS",
        metadata={"provider": provider},
    )


def vendor_busy(provider: str, retry_after_s: float) -> ResourceExhausted:
    """Return RATE_LIMITED: the vendor's own limit for the configured key is spent."""
    return ResourceExhausted(
        f"{provider} has reached the rate limit of the configured key; retry in {retry_after_s:g} s",
        metadata={"provider": provider},
        retry_after_s=retry_after_s,
    )


def overloaded(streams_max: int) -> ResourceExhausted:
    """Return OVERLOADED: the engine serves `streams_max` streams already."""
    return ResourceExhausted(
        f"this server transcribes its maximum of {streams_max} streams; retry on another replica",
        reason="OVERLOADED",
        metadata={"streamsMax": str(streams_max)},
        retry_after_s=1,
    )
