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
    """One frame to decide over. `frame_hash` is set where the whole frame was at hand (Dedup)."""

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
    """An offer that was not accepted, and why."""

    error: MeshError


def check_track(room: str, track: str, path: str) -> None:
    """Raise InvalidArgument for a room or track name that is empty or too long."""
    fault = invalid_name(room, track)
    if fault:
        raise invalid_field(f"{path}.{fault[0]}", fault[1])


def invalid_part(offer: Offer) -> tuple[str, str] | None:
    """The field of an offer that breaks the contract, and how."""
    if len(offer.luma) != LUMA_BYTES:
        return "luma", f"holds {len(offer.luma)} bytes; send 64x64, {LUMA_BYTES} bytes"
    if len(offer.chroma) not in {0, CHROMA_BYTES}:
        return "chroma", f"holds {len(offer.chroma)} bytes; send {CHROMA_BYTES} (U then V, 16x16 each) or none"
    if not (1 <= offer.width <= SIDE_PX_MAX and 1 <= offer.height <= SIDE_PX_MAX):
        return "width", f"{offer.width}x{offer.height} pixels; each side is 1 to {SIDE_PX_MAX}"
    if not 0 <= offer.suppressed <= SUPPRESSED_MAX:
        return "suppressed", f"is {offer.suppressed}; must be 0 to {SUPPRESSED_MAX}"
    return None


def invalid_name(room: str, track: str, path: str = "") -> tuple[str, str] | None:
    """Which name is empty or too long, and by how much."""
    if not 1 <= len(room.encode()) <= ROOM_BYTES_MAX:
        return f"{path}room", f"must hold 1 to {ROOM_BYTES_MAX} bytes"
    if not 1 <= len(track.encode()) <= TRACK_BYTES_MAX:
        return f"{path}track", f"must hold 1 to {TRACK_BYTES_MAX} bytes"
    return None
