"""What is counted of frames, and what the counts say was saved."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Self

from services.vision.gating.verdict import Verdict

# Vision models bill by area: about one token for 750 pixels, after a picture is scaled to a longest side of 1568
# (Anthropic, "Vision", image costs). Others bill by tile; the order of magnitude is the same.
_PIXELS_PER_TOKEN = 750
_LONGEST_PX_MAX = 1568


@dataclass(slots=True)
class FrameCounts:
    """Frames, bytes and estimated tokens. FrameCounts of several servers add up."""

    offered: int = 0
    kept: int = 0
    refreshed: int = 0
    skipped: int = 0
    suppressed: int = 0
    tokens_saved: int = 0
    uploads: int = 0
    bytes_uploaded: int = 0

    def add(self, other: FrameCounts) -> Self:
        """Add `other` to this one."""
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
        """Count a decided frame of `width` x `height` pixels, and `suppressed` frames like it that were not offered."""
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
        """Count a kept frame that came up."""
        self.uploads += 1
        self.bytes_uploaded += size_bytes

    @property
    def dedup_rate(self) -> float:
        """Share of all frames that need not be uploaded, 0 to 1."""
        frames = self.offered + self.suppressed
        return (self.skipped + self.suppressed) / frames if frames else 0.0

    @property
    def bytes_saved(self) -> int:
        """Bytes that were not uploaded, had each skipped frame been as large as the mean uploaded one."""
        return (self.skipped + self.suppressed) * self.bytes_uploaded // self.uploads if self.uploads else 0

    def as_row(self) -> tuple[int, ...]:
        """The numbers in their order, to be stored."""
        return astuple(self)


@lru_cache(maxsize=256)
def vision_tokens(width: int, height: int) -> int:
    """Estimated input tokens of a picture of `width` x `height` pixels."""
    scale = min(1.0, _LONGEST_PX_MAX / max(width, height))
    return max(1, int(width * height * scale * scale) // _PIXELS_PER_TOKEN)
