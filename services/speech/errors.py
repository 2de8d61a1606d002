"""The errors that speech raises beyond the chassis' own, each with its reason."""

from __future__ import annotations

from hocket.chassis.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable


def out_of_order(problem: str) -> InvalidArgument:
    """The messages of a stream came in an order the contract forbids."""
    return InvalidArgument(problem, fields={"payload": problem}, reason="STREAM_ORDER")


def too_large(field: str, problem: str) -> InvalidArgument:
    """A message holds more than its limit."""
    return InvalidArgument(f"{field}: {problem}", fields={field: problem}, reason="TOO_LARGE")


def engine_failed(provider: str, problem: str) -> Unavailable:
    """The engine broke or did not answer; another try may work."""
    return Unavailable(f"{provider}: {problem}", metadata={"provider": provider}, retry_after_s=1)


def credentials_refused(provider: str) -> FailedPrecondition:
    """The vendor does not take the key configured for it."""
    return FailedPrecondition(
        f"{provider} refused the configured key", reason="VENDOR_CREDENTIALS", metadata={"provider": provider}
    )


def vendor_busy(provider: str, retry_after_s: float) -> ResourceExhausted:
    """The vendor's own limit for the configured key is spent."""
    return ResourceExhausted(
        f"{provider} takes no more calls now", metadata={"provider": provider}, retry_after_s=retry_after_s
    )


def overloaded(streams_max: int) -> ResourceExhausted:
    """As many streams are open as the engine may serve."""
    return ResourceExhausted(
        f"{streams_max} streams are being listened to; try another replica",
        reason="OVERLOADED",
        metadata={"streamsMax": str(streams_max)},
        retry_after_s=1,
    )
