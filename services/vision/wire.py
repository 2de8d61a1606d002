"""Conversion between the messages of vision.proto and the types of the service."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hocket.vision.v1 import vision_pb2 as pb

from hocket.chassis.errors import InvalidArgument, MeshError, invalid_field
from services.vision.gating.verdict import RULINGS, Decision, Policy, Ruling
from services.vision.ports import StoredKeyframe, WholeFrame
from services.vision.stats.frame_counts import FrameCounts
from services.vision.stats.stats_table import StatsSummary
from services.vision.tracks.offers import Offer, Refusal

OFFERS_MAX = 256
REJECTIONS_MAX = 16
TRACK_ROWS_MAX = 1000
KEYFRAMES_MAX = 32
# JPEG bytes of one ListKeyframes response: 0.5 MiB below the default gRPC message size of 4 MiB.
_KEYFRAME_BYTES_MAX = 7 * 512 * 1024
_RESIZE_PX = (16, 4096)

_POLICIES: dict[int, Policy] = {
    pb.POLICY_UNSPECIFIED: Policy.CELLS,
    **{pb.Policy.Value(f"POLICY_{policy.name}"): policy for policy in Policy},
}
_FORMATS: dict[int, str] = {
    pb.PixelFormat.Value(f"PIXEL_FORMAT_{name.upper()}"): name
    for name in ("jpeg", "png", "webp", "rgb24", "rgba", "i420")
}


def policy_from_proto(value: int) -> Policy:
    """Return the policy of a config; POLICY_UNSPECIFIED is CELLS.

    Raises:
        InvalidArgument: This server does not know the value.
    """
    if value not in _POLICIES:
        raise invalid_field("config.policy", f"{value} is unknown; send 0 to {max(_POLICIES)}")
    return _POLICIES[value]


def overrides_from_proto(options: pb.PolicyOptions) -> dict[str, float]:
    """Return the options that a config sets, by field of gating's PolicyOptions; Durations become seconds."""
    overrides: dict[str, float] = {}
    for field, value in options.ListFields():
        if isinstance(value, Duration):
            overrides[f"{field.name}_s"] = value.seconds + value.nanos / 1e9
        else:
            overrides[field.name] = value
    return overrides


def check_resize(longest_px: int) -> int:
    """Return `longest_px`.

    Raises:
        InvalidArgument: It is neither 0 nor 16 to 4096 pixels.
    """
    least, greatest = _RESIZE_PX
    if longest_px and not least <= longest_px <= greatest:
        raise invalid_field("config.resize_longest_px", f"is {longest_px}; must be {least} to {greatest}, or 0")
    return longest_px


def offers_from_proto(batch: pb.OfferBatch) -> list[Offer]:
    """Return the offers of a message.

    Raises:
        InvalidArgument: The message has no offer or more than OFFERS_MAX.
    """
    count = len(batch.offers)
    if not 1 <= count <= OFFERS_MAX:
        raise invalid_field("offers.offers", f"holds {count} offers; send 1 to {OFFERS_MAX}")
    return [_offer_from_proto(offer) for offer in batch.offers]


def _offer_from_proto(offer: pb.Offer) -> Offer:
    track = offer.track
    return Offer(
        track.room,
        track.track,
        offer.frame_id,
        offer.captured_at_us,
        offer.luma,
        offer.chroma,
        offer.width,
        offer.height,
        offer.speaking,
        offer.suppressed,
    )


def whole_frame_from_proto(frame: pb.WholeFrame) -> tuple[Offer, WholeFrame]:
    """Return the offer of a whole frame, without a thumbnail, and the frame.

    Raises:
        InvalidArgument: The pixel format is unknown.
    """
    if frame.format not in _FORMATS:
        raise invalid_field("frame.format", f"{frame.format} is unknown; send 1 to {max(_FORMATS)}")
    offer = Offer(
        frame.track.room,
        frame.track.track,
        frame.frame_id,
        frame.captured_at_us,
        b"",
        b"",
        frame.width,
        frame.height,
        frame.speaking,
    )
    return offer, WholeFrame(_FORMATS[frame.format], frame.data, frame.width, frame.height)


def verdicts_to_proto(offers: list[Offer], results: list[Decision | Refusal], refs: pb.OfferBatch) -> pb.VerdictBatch:
    """Return the response to a batch, with at most REJECTIONS_MAX rejections.

    Args:
        offers: Offers of the batch.
        results: Result of each offer.
        refs: The batch as received; its TrackRefs are copied into the response.
    """
    verdicts: list[pb.FrameVerdict] = []
    rejections: list[pb.Rejection] = []
    for offer, result, sent in zip(offers, results, refs.offers, strict=True):
        if isinstance(result, Decision):
            verdicts.append(verdict_to_proto(offer.frame_id, sent.track, result))
        elif len(rejections) < REJECTIONS_MAX:
            rejections.append(rejection_to_proto(offer.frame_id, sent.track, result.error))
    return pb.VerdictBatch(verdicts=verdicts, rejections=rejections)


def count_refused(request: pb.WatchRequest, response: pb.WatchResponse) -> tuple[int, int]:
    """Return the number of offers or uploads in a message that were refused, and the number of all."""
    if response.WhichOneof("payload") == "rejection":
        return 1, 1
    offered = len(request.offers.offers)
    return offered - len(response.verdicts.verdicts), offered


def verdict_to_proto(frame_id: int, track: pb.TrackRef, decision: Decision) -> pb.FrameVerdict:
    """Return the verdict on one frame."""
    verdict, cause = _RULINGS[decision.ruling]
    return pb.FrameVerdict(
        frame_id=frame_id,
        track=track,
        verdict=verdict,
        cause=cause,
        distance_bits=decision.distance_bits,
        cells_changed=decision.cells_changed,
        next_frame_in=_duration(decision.next_frame_in_s),
    )


def rejection_to_proto(frame_id: int, track: pb.TrackRef, error: MeshError) -> pb.Rejection:
    """Return the rejection of one frame; the stream continues."""
    field = next(iter(error.fields), "") if isinstance(error, InvalidArgument) else ""
    return pb.Rejection(frame_id=frame_id, track=track, message=error.message, reason=error.reason, field=field)


def keyframes_to_proto(keyframes: list[StoredKeyframe]) -> pb.ListKeyframesResponse:
    """Return keyframes in the given order, as many as fit into one message."""
    response, left = pb.ListKeyframesResponse(), _KEYFRAME_BYTES_MAX
    for keyframe in keyframes:
        left -= len(keyframe.jpeg)
        if left < 0:
            break
        response.keyframes.append(_keyframe_to_proto(keyframe))
    return response


def _keyframe_to_proto(keyframe: StoredKeyframe) -> pb.Keyframe:
    kept_at = Timestamp()
    kept_at.FromMicroseconds(int(keyframe.kept_at_s * 1e6))
    return pb.Keyframe(
        frame_id=keyframe.frame_id,
        kept_at=kept_at,
        width=keyframe.width,
        height=keyframe.height,
        jpeg=keyframe.jpeg,
    )


def stats_to_proto(
    summary: StatsSummary, room: str = "", track: str = "", *, degraded: bool = False
) -> pb.GetStatsResponse:
    """Return counts, with at most TRACK_ROWS_MAX tracks, those with the most offers first.

    Args:
        summary: Sum and counts per track.
        room: Room of the request; empty for all.
        track: Track of the request; empty for all.
        degraded: Whether the counts are those of this server alone.
    """
    busiest = sorted(summary.tracks.items(), key=lambda item: -item[1].offered)[:TRACK_ROWS_MAX]
    return pb.GetStatsResponse(
        total=_counts_to_proto(room, track, summary.total),
        tracks=[_counts_to_proto(r, t, counts) for (r, t), counts in busiest],
        degraded=degraded,
    )


def _counts_to_proto(room: str, track: str, counts: FrameCounts) -> pb.FrameStats:
    return pb.FrameStats(
        room=room,
        track=track,
        offered=counts.offered,
        kept=counts.kept,
        refreshed=counts.refreshed,
        skipped=counts.skipped,
        suppressed=counts.suppressed,
        dedup_rate=counts.dedup_rate,
        bytes_saved=counts.bytes_saved,
        tokens_saved=counts.tokens_saved,
        bytes_uploaded=counts.bytes_uploaded,
    )


@lru_cache(maxsize=256)
def _duration(seconds: float) -> Duration:
    """Return a Duration; cached, because a server sends few different values."""
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


_RULINGS: dict[Ruling, tuple[pb.Verdict.ValueType, pb.Cause.ValueType]] = {
    ruling: (pb.Verdict.Value(f"VERDICT_{ruling.verdict.name}"), pb.Cause.Value(f"CAUSE_{ruling.cause.name}"))
    for ruling in RULINGS
}
