"""All that this service needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hocket.client.vision.thumbnail import Thumbnail
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsRow, TrackKey


@dataclass(frozen=True, slots=True)
class StoredKeyframe:
    """A kept frame. `kept_at_s` is the server's clock, in seconds since the Unix epoch."""

    frame_id: int
    kept_at_s: float
    width: int
    height: int
    jpeg: bytes


class KeyframeStore(Protocol):
    """The latest kept frames of each track, shared by all servers. Fails closed: the caller is told, frames are not."""

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Remember a frame, in place of the oldest. Raises KeyframesUnavailable."""
        ...

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """The latest first; none for a track that is not known. Raises KeyframesUnavailable."""
        ...


class StatsStore(Protocol):
    """Counts of all servers. Fails open: while it is away each server answers with its own and says so."""

    async def publish(self, tenant_id: str, rows: list[StatsRow], gone: list[str]) -> None:
        """Set rows to their numbers, by uid, and remove the uids in `gone`, in one step. Raises Unavailable."""
        ...

    async def read(self, tenant_id: str) -> list[StatsRow]:
        """Rows of all servers. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """A picture as a caller sent it."""

    encoding: str  # "jpeg", "png", "webp", "rgb24", "rgba" or "i420"
    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A picture that was read and found sound: its thumbnail and, where the policy wants one, its hash."""

    thumbnail: Thumbnail
    frame_hash: int | None
    picture: object  # what `ImageReader.encode` takes


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


class ImageReader(Protocol):
    """Reads whole frames within limits."""

    async def read(self, frame: WholeFrame, policy: Policy) -> ReadFrame:
        """Check before decoding, then decode. Raises InvalidArgument naming what is wrong."""
        ...

    async def encode(self, frame: ReadFrame, longest_px: int) -> Encoded:
        """JPEG of quality 85, scaled down to `longest_px` when that is not 0; of less where it would fit no message.

        Raises InvalidArgument for a picture that no quality makes small enough.
        """
        ...
