"""Errors of this service beyond invalid fields; each has the reason that crosses the wire."""

from __future__ import annotations

from hocket.chassis.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable


class WrongOrder(InvalidArgument):
    """A message, frame id or upload came out of order."""

    default_reason = "STREAM_ORDER"


class TooLarge(InvalidArgument):
    """A message, picture or list exceeds its limit; `fields` names it."""

    default_reason = "TOO_LARGE"


class TrackNotFound(NotFound):
    """The track of an upload was not offered on this stream, or its state was dropped after a long idle time."""

    default_reason = "TRACK_NOT_FOUND"


class TooManyTracks(ResourceExhausted):
    """The stream, the tenant or the server is at its limit of tracks."""

    default_reason = "OVERLOADED"


class KeyframesUnavailable(Unavailable):
    """The shared keyframe store did not answer."""

    default_reason = "DEPENDENCY_UNAVAILABLE"


def too_large(field: str, problem: str) -> TooLarge:
    """Return a TooLarge for one field."""
    return TooLarge(f"{field}: {problem}", fields={field: problem})
