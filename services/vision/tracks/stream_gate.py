"""Decides over the offers of one stream, batch by batch, and knows which kept frames may be uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hocket.chassis.errors import MeshError, invalid_field
from services.vision.errors import WrongOrder
from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.frame_difference import ThumbnailBuffer, stack_thumbnails
from services.vision.gating.hash_gate import HashGate
from services.vision.gating.perceptual_hash import thumbnail_hash
from services.vision.gating.timer_gate import TimerGate
from services.vision.gating.verdict import Decision, Policy, Verdict
from services.vision.stats.stats_table import StatsRow
from services.vision.tracks.offers import Offer, Refusal, invalid_name, invalid_part
from services.vision.tracks.track_table import Track, TrackTable

_LUMA_SIDE = 64


_Admitted = tuple[int, Offer, Track, float]


class StreamGate:
    """One stream: its policy and its tracks."""

    def __init__(self, policy: Policy, table: TrackTable) -> None:
        """Decide over the tracks in `table`, which is this stream's own and makes their gates."""
        self.policy = policy
        self._table = table
        self._memory = ThumbnailBuffer()

    def decide(
        self, offers: Sequence[Offer], now_s: float, *, first_index: int = 0, field: str = "offers[{}]"
    ) -> list[Decision | Refusal]:
        """One decision or refusal an offer, in order. `now_s` is the server's monotonic clock.

        `first_index` is where `offers` begin in their message, and `field` how refusals name the one of an index there.
        """
        results: list[Decision | Refusal | None] = [None] * len(offers)
        admitted: list[_Admitted] = []
        for index, offer in enumerate(offers):
            try:
                self._check(offer, field, first_index + index)
                track = self._table.find(offer.room, offer.track, now_s)
                at_s = track.advance(offer.frame_id, offer.captured_at_us)
            except MeshError as error:
                results[index] = Refusal(error)
            else:
                admitted.append((index, offer, track, at_s))
        while admitted:
            # Frames of one track depend on each other: each round takes the first of every track.
            first: dict[int, _Admitted] = {}
            later = [item for item in admitted if first.setdefault(item[2].slot, item) is not item]
            for item, decision in zip(first.values(), self._judge(list(first.values())), strict=True):
                results[item[0]] = decision
            admitted = later
        return [result for result in results if result is not None]

    def await_upload(self, room: str, track: str, frame_id: int, size_bytes: int) -> StatsRow:
        """A kept frame came up: the row it counts in. Raises InvalidArgument for one that nobody asked for."""
        known = self._table.peek(room, track)
        if known is None or frame_id not in known.awaited:
            raise WrongOrder(f"upload.frame_id: frame {frame_id} of this track is not awaited; upload kept frames once")
        known.awaited.remove(frame_id)
        known.row.counts.count_upload(size_bytes)
        known.row.dirty = True
        if isinstance(known.gate, CellsGate):
            known.gate.notice_upload(size_bytes)
        return known.row

    def rows(self) -> list[StatsRow]:
        """Counts of this stream's tracks on this server."""
        return self._table.rows()

    def close(self, now_s: float) -> None:
        """The stream is over."""
        self._table.close(now_s)

    def require_next(self, offer: Offer, field: str) -> None:
        """What can be told of an offer before its picture is read. Raises InvalidArgument naming `field`."""
        known = self._table.peek(offer.room, offer.track)
        if known is not None:
            known.require_order(offer.frame_id)
        elif fault := invalid_name(offer.room, offer.track, "track."):
            raise invalid_field(f"{field}.{fault[0]}", fault[1])

    def drop_idle(self, now_s: float) -> None:
        """Let tracks go that were idle for long."""
        self._table.drop_idle(now_s)

    def _check(self, offer: Offer, field: str, index: int) -> None:
        # The names of a track that is known were checked when it was new.
        known = self._table.peek(offer.room, offer.track) is not None
        fault = invalid_part(offer) or (None if known else invalid_name(offer.room, offer.track, "track."))
        if fault:
            raise invalid_field(f"{field.format(index)}.{fault[0]}", fault[1])

    def _judge(self, items: list[_Admitted]) -> list[Decision]:
        if self.policy in {Policy.CELLS, Policy.ECONOMY}:
            decisions = self._judge_cells(items)
        else:
            decisions = [self._judge_one(offer, track, at_s) for _, offer, track, at_s in items]
        for (_, offer, track, _), decision in zip(items, decisions, strict=True):
            verdict = decision.ruling.verdict
            if verdict is not Verdict.SKIP:
                track.awaited.append(offer.frame_id)
            track.row.counts.count(verdict, offer.width, offer.height, offer.suppressed)
            track.row.dirty = True
        return decisions

    def _judge_cells(self, items: list[_Admitted]) -> list[Decision]:
        now = stack_thumbnails([item[1].luma for item in items], [item[1].chroma for item in items])
        slots = [item[2].slot for item in items]
        of_tracks = [cast("CellsGate", item[2].gate) for item in items]
        thresholds = [
            gate.threshold_levels(item[1].width * item[1].height) for gate, item in zip(of_tracks, items, strict=True)
        ]
        measured = self._memory.measure(slots, now, thresholds)
        decisions = [
            gate.decide(at_s, numbers, speaking=offer.speaking)
            for gate, (_, offer, _, at_s), numbers in zip(of_tracks, items, measured, strict=True)
        ]
        kept = [i for i, decision in enumerate(decisions) if decision.ruling.verdict is not Verdict.SKIP]
        if kept:
            self._memory.keep([slots[i] for i in kept], now[kept])
        return decisions

    def _judge_one(self, offer: Offer, track: Track, at_s: float) -> Decision:
        if isinstance(track.gate, HashGate):
            frame_hash = offer.frame_hash
            if frame_hash is None:
                frame_hash = thumbnail_hash(self.policy, offer.luma, _LUMA_SIDE)
            return track.gate.decide(at_s, frame_hash, speaking=offer.speaking)
        return cast("TimerGate", track.gate).decide(at_s)
