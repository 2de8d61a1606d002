"""Decides for batches of offers of one stream, and which keyframes of it may be uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from hocket.chassis.errors import MeshError, invalid_field
from services.vision.errors import TrackNotFound, WrongOrder
from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.frame_difference import ThumbnailBuffer, stack_thumbnails
from services.vision.gating.hash_gate import HashGate
from services.vision.gating.perceptual_hash import thumbnail_hash
from services.vision.gating.timer_gate import TimerGate
from services.vision.gating.verdict import Decision, Policy, Verdict
from services.vision.stats.stats_table import StatsRow
from services.vision.tracks.offers import Offer, Refusal, find_invalid_field, find_invalid_name
from services.vision.tracks.track_table import Track, TrackTable

_LUMA_SIDE = 64


class _Frame(NamedTuple):
    """An accepted offer: its place in the batch, its track, and its track time in seconds."""

    position: int
    offer: Offer
    track: Track
    at_s: float


class StreamGate:
    """Gates of all tracks of one stream; a batch may mix tracks."""

    def __init__(self, policy: Policy, table: TrackTable) -> None:
        """Decide by `policy` for the tracks in `table`, which belongs to this stream alone."""
        self.policy = policy
        self._table = table
        self._thumbnails = ThumbnailBuffer()

    def decide(
        self, offers: Sequence[Offer], now_s: float, *, first_index: int = 0, field: str = "offers[{}]"
    ) -> list[Decision | Refusal]:
        """Decide for a batch of offers.

        Args:
            offers: Offers of any tracks; those of one track in the order of their ids.
            now_s: The server's monotonic time in seconds, for the idle time of tracks.
            first_index: Index of `offers[0]` in its message, for errors.
            field: Format string for the path of an offer in its message, filled with its index; for errors.

        Returns:
            One decision or refusal per offer, in order.
        """
        results: list[Decision | Refusal | None] = [None] * len(offers)
        frames: list[_Frame] = []
        for index, offer in enumerate(offers):
            try:
                self._check(offer, field, first_index + index)
                track = self._table.get_or_create(offer.room, offer.track, now_s)
                at_s = track.advance(offer.frame_id, offer.captured_at_us)
            except MeshError as error:
                results[index] = Refusal(error)
            else:
                frames.append(_Frame(index, offer, track, at_s))
        while frames:
            # A frame is compared with the previous one of its track: each round takes the first frame of every track.
            round_of: dict[int, _Frame] = {}
            later = [frame for frame in frames if round_of.setdefault(frame.track.slot, frame) is not frame]
            now = list(round_of.values())
            for frame, decision in zip(now, self._decide_round(now), strict=True):
                results[frame.position] = decision
            frames = later
        return [result for result in results if result is not None]

    def accept_upload(self, room: str, track: str, frame_id: int, size_bytes: int) -> StatsRow:
        """Register the upload of a keyframe.

        Args:
            room: Room of the track.
            track: Track id.
            frame_id: Id of the frame.
            size_bytes: Size of its JPEG.

        Returns:
            The row that counts it.

        Raises:
            TrackNotFound: The stream has no state of the track.
            WrongOrder: The frame was skipped, uploaded before, or is too old.
        """
        found = self._table.get(room, track)
        if found is None:
            raise TrackNotFound(f"track {track!r} of room {room!r} is unknown on this stream; offer it first")
        if frame_id not in found.pending_uploads:
            raise WrongOrder(
                f"upload.frame_id: frame {frame_id} is no pending keyframe of this track; upload each keyframe once,"
                " soon after its verdict"
            )
        found.pending_uploads.remove(frame_id)
        found.row.counts.count_upload(size_bytes)
        found.row.dirty = True
        if isinstance(found.gate, CellsGate):
            found.gate.record_upload(size_bytes)
        return found.row

    def check_before_decoding(self, offer: Offer, field: str) -> None:
        """Check the parts of a whole frame's offer that are known before its picture is decoded.

        Args:
            offer: Offer without a thumbnail.
            field: Path of the frame in its message, for errors.

        Raises:
            WrongOrder: The id does not rise.
            InvalidArgument: The room or track name is empty or too long.
        """
        found = self._table.get(offer.room, offer.track)
        if found is not None:
            found.require_rising_id(offer.frame_id)
        elif invalid := find_invalid_name(offer.room, offer.track):
            raise invalid_field(f"{field}.track.{invalid[0]}", invalid[1])

    def rows(self) -> list[StatsRow]:
        """Return the counts of this stream's tracks on this server."""
        return self._table.rows()

    def evict_idle(self, now_s: float) -> None:
        """Release idle tracks; `now_s` is the server's monotonic time in seconds."""
        self._table.evict_idle(now_s)

    def close(self, now_s: float) -> None:
        """Release all tracks, at the end of the stream."""
        self._table.close(now_s)

    def _check(self, offer: Offer, field: str, index: int) -> None:
        invalid = find_invalid_field(offer)
        # The names of a known track were checked with its first offer.
        if invalid is None and self._table.get(offer.room, offer.track) is None:
            name = find_invalid_name(offer.room, offer.track)
            invalid = (f"track.{name[0]}", name[1]) if name else None
        if invalid:
            raise invalid_field(f"{field.format(index)}.{invalid[0]}", invalid[1])

    def _decide_round(self, frames: list[_Frame]) -> list[Decision]:
        """Decide for at most one frame per track and count the results."""
        if self.policy in {Policy.CELLS, Policy.ECONOMY}:
            decisions = self._decide_cells(frames)
        else:
            decisions = [self._decide_single(frame) for frame in frames]
        for (_, offer, track, _), decision in zip(frames, decisions, strict=True):
            verdict = decision.ruling.verdict
            if verdict is not Verdict.SKIP:
                track.pending_uploads.append(offer.frame_id)
            track.row.counts.count(verdict, offer.width, offer.height, offer.suppressed)
            track.row.dirty = True
        return decisions

    def _decide_cells(self, frames: list[_Frame]) -> list[Decision]:
        thumbnails = stack_thumbnails([frame.offer.luma for frame in frames], [frame.offer.chroma for frame in frames])
        slots = [frame.track.slot for frame in frames]
        gates = [cast("CellsGate", frame.track.gate) for frame in frames]
        thresholds = [
            gate.threshold_levels(frame.offer.width * frame.offer.height)
            for gate, frame in zip(gates, frames, strict=True)
        ]
        differences = self._thumbnails.compare(slots, thumbnails, thresholds)
        decisions = [
            gate.decide(at_s, difference, speaking=offer.speaking)
            for gate, (_, offer, _, at_s), difference in zip(gates, frames, differences, strict=True)
        ]
        kept = [i for i, decision in enumerate(decisions) if decision.ruling.verdict is not Verdict.SKIP]
        if kept:
            self._thumbnails.hold_keyframes([slots[i] for i in kept], thumbnails[kept])
        return decisions

    def _decide_single(self, frame: _Frame) -> Decision:
        offer, gate = frame.offer, frame.track.gate
        if isinstance(gate, HashGate):
            frame_hash = offer.frame_hash
            if frame_hash is None:
                frame_hash = thumbnail_hash(self.policy, offer.luma, _LUMA_SIDE)
            return gate.decide(frame.at_s, frame_hash, speaking=offer.speaking)
        return cast("TimerGate", gate).decide(frame.at_s)
