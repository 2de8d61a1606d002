"""What this service needs from outside, and its behaviour when a dependency is unavailable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hocket.client.vision.thumbnail import Thumbnail
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsRow, TrackKey


@dataclass(frozen=True, slots=True)
class StoredKeyframe:
    """A keyframe in the store.

    Attributes:
        frame_id: Id of the frame.
        kept_at_s: Server time when it was stored, in seconds since the Unix epoch.
        width: Width of the JPEG in pixels.
        height: Height of the JPEG in pixels.
        jpeg: JPEG file; empty where only the metadata was read.
    """

    frame_id: int
    kept_at_s: float
    width: int
    height: int
    jpeg: bytes


class KeyframeStore(Protocol):
    """Latest keyframes of each track, shared by all servers.

    Fails closed for reads: the caller gets KeyframesUnavailable. Verdicts do not depend on it; keyframes that cannot be
    stored are dropped and counted in `hocket_vision_keyframes_total`.
    """

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Store a keyframe and drop the oldest of its track beyond the limit.

        Raises:
            KeyframesUnavailable: The store did not answer.
        """
        ...

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """Return up to `limit` keyframes of a track, latest first; none for an unknown track.

        Raises:
            KeyframesUnavailable: The store did not answer.
        """
        ...


class StatsStore(Protocol):
    """Frame counts of all servers.

    Fails open: while it does not answer, each server returns its own counts with `degraded` set.
    """

    async def publish(self, tenant_id: str, rows: list[StatsRow], removed_uids: list[str]) -> None:
        """Set rows to their absolute counts and remove the rows in `removed_uids`, in one step.

        Raises:
            Unavailable: The store did not answer; the call may be repeated.
        """
        ...

    async def read(self, tenant_id: str) -> list[StatsRow]:
        """Return the rows of all servers.

        Raises:
            Unavailable: The store did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """A picture as the caller sent it.

    Attributes:
        encoding: "jpeg", "png", "webp", "rgb24", "rgba" or "i420".
        data: File or raw pixels.
        width: Width in pixels; 0 for a file whose caller left it out.
        height: Height in pixels; 0 for a file whose caller left it out.
    """

    encoding: str
    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded picture.

    Attributes:
        thumbnail: Thumbnail of the upright picture.
        frame_hash: 64-bit hash for the hash policies, else None.
        picture: The pixels, for `ImageCodec.encode` of the same implementation.
    """

    thumbnail: Thumbnail
    frame_hash: int | None
    picture: object


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A JPEG file and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


class ImageCodec(Protocol):
    """Decodes and encodes whole frames within limits."""

    async def decode(self, frame: WholeFrame, policy: Policy) -> DecodedFrame:
        """Check a picture by its header, then decode it.

        Raises:
            InvalidArgument: The picture is broken, too large or of an unsupported kind; names the field.
        """
        ...

    async def encode(self, frame: DecodedFrame, longest_px: int) -> EncodedFrame:
        """Return a JPEG of quality 85, or less where that would exceed the message size.

        Args:
            frame: Frame that `decode` returned.
            longest_px: Longest side of the JPEG in pixels; larger pictures are scaled down, 0 keeps the size.

        Raises:
            InvalidArgument: The JPEG exceeds the message size at every quality.
        """
        ...
