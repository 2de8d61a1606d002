"""Counts of a watch session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SessionStats:
    """Counts of a session since it was entered; only rising.

    Attributes:
        seen: Frames passed to `submit`.
        looked_at: Frames of which a thumbnail was made to decide whether to offer them.
        suppressed: Frames examined and not offered, because nothing moved.
        offered: Frames offered to the service.
        kept: Frames with verdict KEEP.
        refreshed: Frames with verdict REFRESH.
        kept_by_timer: Frames kept by the fallback timer.
        rejected: Offers and uploads that the service rejected.
        dropped: Keyframes replaced by a newer one of their track before they were encoded.
        messages: Messages sent to the service.
        offer_bytes: Bytes of the messages with offers.
        jpeg_bytes: JPEG bytes of the keyframes passed to `on_keyframe`.
        reconnects: Attempts to open a new stream after the first.
    """

    seen: int = 0
    looked_at: int = 0
    suppressed: int = 0
    offered: int = 0
    kept: int = 0
    refreshed: int = 0
    kept_by_timer: int = 0
    rejected: int = 0
    dropped: int = 0
    messages: int = 0
    offer_bytes: int = 0
    jpeg_bytes: int = 0
    reconnects: int = 0
