"""Offers of frames, and the checks of their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hocket.chassis.errors import MeshError, invalid_field
from services.vision.gating.frame_difference import CHROMA_BYTES, LUMA_BYTES

ROOM_BYTES_MAX = 256
TRACK_BYTES_MAX = 128
SIDE_PX_MAX = 8192
SUPPRESSED_MAX = 1_000_000


class Offer(NamedTuple):
    """One frame to decide for; the fields are those of `Offer` in vision.proto.

    Attributes:
        frame_hash: 64-bit hash of the whole frame, set by Dedup for the hash policies; None elsewhere.
    """

    room: str
    track: str
    frame_id: int
    captured_at_us: int
    luma: bytes
    chroma: bytes
    width: int
    height: int
    speaking: bool = False
    suppressed: int = 0
    frame_hash: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Result of an offer that was not accepted; the stream continues."""

    error: MeshError


def check_track(room: str, track: str, path: str) -> None:
    """Check the names of a track.

    Args:
        room: Room name.
        track: Track id.
        path: Path of the TrackRef in its request, for the error.

    Raises:
        InvalidArgument: A name is empty or too long.
    """
    invalid = find_invalid_name(room, track)
    if invalid:
        raise invalid_field(f"{path}.{invalid[0]}", invalid[1])


def find_invalid_field(offer: Offer) -> tuple[str, str] | None:
    """Return the first invalid field of an offer, except its track, and the problem; None if all are valid."""
    if len(offer.luma) != LUMA_BYTES:
        return "luma", f"holds {len(offer.luma)} bytes; send 64x64, {LUMA_BYTES} bytes"
    if len(offer.chroma) not in {0, CHROMA_BYTES}:
        return "chroma", f"holds {len(offer.chroma)} bytes; send {CHROMA_BYTES} (U then V, 16x16 each) or none"
    if not (1 <= offer.width <= SIDE_PX_MAX and 1 <= offer.height <= SIDE_PX_MAX):
        return "width", f"{offer.width}x{offer.height} pixels; each side is 1 to {SIDE_PX_MAX}"
    if not 0 <= offer.suppressed <= SUPPRESSED_MAX:
        return "suppressed", f"is {offer.suppressed}; must be 0 to {SUPPRESSED_MAX}"
    return None


def find_invalid_name(room: str, track: str) -> tuple[str, str] | None:
    """Return the field and the problem of the first invalid name, "room" or "track"; None if both are valid."""
    for field, name, bytes_max in (("room", room, ROOM_BYTES_MAX), ("track", track, TRACK_BYTES_MAX)):
        size = len(name.encode())
        if not 1 <= size <= bytes_max:
            return field, f"holds {size} bytes; must hold 1 to {bytes_max}"
    return None
