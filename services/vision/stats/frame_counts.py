"""Counts of frames, and the bytes and tokens that skipped frames saved."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Self

from services.vision.gating.verdict import Verdict

# Vision models bill by area: about one token for 750 pixels, after scaling to a longest side of 1568 pixels
# (Anthropic, "Vision", image costs). Other vendors bill by tile, in the same order of magnitude.
_PIXELS_PER_TOKEN = 750
_LONGEST_PX_MAX = 1568


@dataclass(slots=True)
class FrameCounts:
    """Counts of frames, bytes and estimated tokens; counts of several servers may be added.

    Attributes:
        offered: Frames that the server decided for.
        kept: Frames with verdict KEEP.
        refreshed: Frames with verdict REFRESH.
        skipped: Frames with verdict SKIP.
        suppressed: Frames that the client did not offer, because nothing moved.
        tokens_saved: Estimated input tokens of the skipped and suppressed frames.
        uploads: Keyframes received, or returned by Dedup.
        bytes_uploaded: JPEG bytes of these keyframes.
    """

    offered: int = 0
    kept: int = 0
    refreshed: int = 0
    skipped: int = 0
    suppressed: int = 0
    tokens_saved: int = 0
    uploads: int = 0
    bytes_uploaded: int = 0

    def add(self, other: FrameCounts) -> Self:
        """Add `other` to this object and return it."""
        self.offered += other.offered
        self.kept += other.kept
        self.refreshed += other.refreshed
        self.skipped += other.skipped
        self.suppressed += other.suppressed
        self.tokens_saved += other.tokens_saved
        self.uploads += other.uploads
        self.bytes_uploaded += other.bytes_uploaded
        return self

    def count(self, verdict: Verdict, width: int, height: int, suppressed: int) -> None:
        """Count one frame.

        Args:
            verdict: Verdict of the frame.
            width: Width of the full frame in pixels.
            height: Height of the full frame in pixels.
            suppressed: Frames of the same size that the client suppressed since its previous offer.
        """
        self.offered += 1
        self.suppressed += suppressed
        saved = suppressed
        if verdict is Verdict.KEEP:
            self.kept += 1
        elif verdict is Verdict.REFRESH:
            self.refreshed += 1
        else:
            self.skipped += 1
            saved += 1
        if saved:
            self.tokens_saved += saved * vision_tokens(width, height)

    def count_upload(self, size_bytes: int) -> None:
        """Count a keyframe of `size_bytes` of JPEG."""
        self.uploads += 1
        self.bytes_uploaded += size_bytes

    @property
    def dedup_rate(self) -> float:
        """Share of all frames that were skipped or suppressed, 0 to 1."""
        frames = self.offered + self.suppressed
        return (self.skipped + self.suppressed) / frames if frames else 0.0

    @property
    def bytes_saved(self) -> int:
        """Estimated JPEG bytes of the skipped and suppressed frames, at the mean size of the uploaded ones."""
        return (self.skipped + self.suppressed) * self.bytes_uploaded // self.uploads if self.uploads else 0

    def as_row(self) -> tuple[int, ...]:
        """Return the counts in field order; `FrameCounts(*row)` restores them."""
        return astuple(self)


@lru_cache(maxsize=256)
def vision_tokens(width: int, height: int) -> int:
    """Return the estimated input tokens of a picture of `width` x `height` pixels, at least 1."""
    scale = min(1.0, _LONGEST_PX_MAX / max(width, height))
    return max(1, int(width * height * scale * scale) // _PIXELS_PER_TOKEN)
