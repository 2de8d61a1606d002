"""What this service refuses, beyond invalid fields; each with the reason that crosses the wire."""

from __future__ import annotations

from hocket.chassis.errors import InvalidArgument, ResourceExhausted, Unavailable


class WrongOrder(InvalidArgument):
    """A message came where the contract forbids it."""

    default_reason = "STREAM_ORDER"


class TooLarge(InvalidArgument):
    """A message, picture or list is larger than its limit; `fields` names it."""

    default_reason = "TOO_LARGE"


class TooManyTracks(ResourceExhausted):
    """The stream or the server holds as many tracks as it may."""

    default_reason = "OVERLOADED"


class KeyframesUnavailable(Unavailable):
    """Shared keyframes cannot be read now."""

    default_reason = "DEPENDENCY_UNAVAILABLE"


def too_large(field: str, problem: str) -> TooLarge:
    """A TooLarge for one field."""
    return TooLarge(f"{field}: {problem}", fields={field: problem})
