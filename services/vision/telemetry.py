"""The metrics that a platform team scales and alarms on; labels are bounded, no tenant, room or track."""

from __future__ import annotations

from collections import Counter as Multiset
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from services.vision.gating.verdict import Decision, Policy, Ruling
from services.vision.tracks.offers import Refusal

# Registered once a process; a service may be built several times in it.
_OFFERS = Counter("hocket_vision_offers", "Frames decided over; scale on its rate.", ["policy", "verdict", "cause"])
_REFUSED = Counter("hocket_vision_offers_refused", "Offers refused, by reason.", ["reason"])
_HELD_BACK_SECONDS = Counter("hocket_vision_held_back_seconds", "Waits of streams whose offers were refused, in sum.")
_BATCH_SECONDS = Histogram(
    "hocket_vision_batch_seconds",
    "Time to decide over one message of offers, or 64 offers of a longer one.",
    buckets=(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
)
_STREAMS = Gauge("hocket_vision_streams_open", "Open Watch and Dedup streams.", ["policy"])
_TRACKS = Gauge("hocket_vision_tracks_held", "Tracks whose state is held.")
_UPLOAD_BYTES = Counter("hocket_vision_upload_bytes", "Bytes of kept frames that came up.")
_KEYFRAMES = Counter("hocket_vision_keyframes", "Kept frames by what became of them in the store.", ["outcome"])
_PUBLISHES = Counter("hocket_vision_stats_publishes", "Attempts to share counts.", ["outcome"])


@cache
def _offers(policy: Policy, ruling: Ruling) -> Counter:
    return _OFFERS.labels(policy.value, ruling.verdict.value, ruling.cause.value)


class VisionMetrics:
    """The service's metrics, as its flow speaks of them."""

    held_back_seconds = _HELD_BACK_SECONDS
    batch_seconds = _BATCH_SECONDS
    tracks = _TRACKS
    upload_bytes = _UPLOAD_BYTES
    keyframes = _KEYFRAMES
    stats_publishes = _PUBLISHES

    def opened(self, policy: Policy) -> None:
        """A stream began."""
        _STREAMS.labels(policy.value).inc()

    def closed(self, policy: Policy) -> None:
        """A stream ended."""
        _STREAMS.labels(policy.value).dec()

    def decided(self, policy: Policy, results: list[Decision | Refusal]) -> None:
        """A batch was decided over."""
        rulings = Multiset(r.ruling for r in results if isinstance(r, Decision))
        for ruling, count in rulings.items():
            _offers(policy, ruling).inc(count)
        reasons = Multiset(r.error.reason for r in results if isinstance(r, Refusal))
        for reason, count in reasons.items():
            _REFUSED.labels(reason).inc(count)
