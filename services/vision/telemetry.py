"""Prometheus metrics of this service. Labels are bounded: no tenant, room or track."""

from __future__ import annotations

from collections import Counter as Multiset
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from services.vision.gating.verdict import FIRST, Decision, Policy, Ruling
from services.vision.tracks.offers import Refusal

# Module level, because prometheus_client registers a name once per process and tests build the service several times.
_OFFERS = Counter("hocket_vision_offers", "Frames decided for; scale on its rate.", ["policy", "verdict", "cause"])
_REFUSED = Counter("hocket_vision_offers_refused", "Offers refused, by error reason.", ["reason"])
_HELD_BACK_SECONDS = Counter(
    "hocket_vision_held_back_seconds", "Time for which streams were not read after refused offers."
)
_BATCH_SECONDS = Histogram(
    "hocket_vision_batch_seconds",
    "Time to decide for one message of offers, or for 64 offers of a longer one.",
    buckets=(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
)
_STREAMS = Gauge("hocket_vision_streams_open", "Open Watch and Dedup streams.", ["policy"])
_TRACKS = Gauge("hocket_vision_tracks_held", "Tracks with state on this server.")
_UPLOAD_BYTES = Counter("hocket_vision_upload_bytes", "JPEG bytes of uploaded keyframes.")
_KEYFRAMES = Counter(
    "hocket_vision_keyframes",
    "Keyframes by storage outcome: stored, lost (store unavailable) or dropped (store too slow).",
    ["outcome"],
)
_PUBLISHES = Counter("hocket_vision_stats_publishes", "Publications of frame counts: done or failed.", ["outcome"])


@cache
def _offers(policy: Policy, ruling: Ruling) -> Counter:
    return _OFFERS.labels(policy.value, ruling.verdict.value, ruling.cause.value)


# Created here, so that an autoscaler finds a 0 before the first offer.
_offers(Policy.CELLS, FIRST)


class VisionMetrics:
    """Metrics by the events of the flow."""

    held_back_seconds = _HELD_BACK_SECONDS
    batch_seconds = _BATCH_SECONDS
    tracks = _TRACKS
    upload_bytes = _UPLOAD_BYTES
    keyframes = _KEYFRAMES
    stats_publishes = _PUBLISHES

    def stream_opened(self, policy: Policy) -> None:
        """Count an open stream."""
        _STREAMS.labels(policy.value).inc()

    def stream_closed(self, policy: Policy) -> None:
        """Count a closed stream."""
        _STREAMS.labels(policy.value).dec()

    def batch_decided(self, policy: Policy, results: list[Decision | Refusal]) -> None:
        """Count the decisions and refusals of a batch."""
        rulings = Multiset(r.ruling for r in results if isinstance(r, Decision))
        for ruling, count in rulings.items():
            _offers(policy, ruling).inc(count)
        reasons = Multiset(r.error.reason for r in results if isinstance(r, Refusal))
        for reason, count in reasons.items():
            _REFUSED.labels(reason).inc(count)
