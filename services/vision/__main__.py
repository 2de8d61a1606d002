"""Command hocket-vision: builds the adapters, the flow and the servicer."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

import asyncio
from contextlib import AsyncExitStack

from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.clock import SystemClock
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from services.vision.adapters.images import PillowImages
from services.vision.adapters.keyframes_memory import MemoryKeyframes
from services.vision.adapters.keyframes_redis import RedisKeyframes
from services.vision.adapters.redis_calls import RedisCalls
from services.vision.adapters.stats_redis import RedisStats
from services.vision.admission.track_quota import TrackQuota
from services.vision.flow import VisionFlow
from services.vision.ports import KeyframeStore, StatsStore
from services.vision.server import SERVICE, VisionServicer
from services.vision.settings import Settings
from services.vision.stats.stats_table import StatsTable
from services.vision.telemetry import VisionMetrics
from services.vision.tracks.track_table import TrackLimits


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Build the service; `resources` closes what it opens."""
    clock = SystemClock()
    images = PillowImages(pixels_max=settings.image_pixels_max, threads=settings.image_threads)
    resources.callback(images.close)
    keyframes, stats_store = _stores(settings, clock, resources)
    flow = VisionFlow(
        options=settings.policy_options(),
        limits=TrackLimits(settings.tracks_per_stream_max, settings.track_idle_s),
        quota=TrackQuota(settings.tracks_max, settings.tracks_per_tenant_max),
        stats_table=StatsTable(
            rows_ended_max=settings.track_rows_ended_max,
            ended_ttl_s=settings.track_row_ttl_s,
            republish_s=settings.track_row_ttl_s / 6,
            remainder_ttl_s=settings.stats_ttl_s,
        ),
        keyframes=keyframes,
        stats_store=stats_store,
        images=images,
        clock=clock,
        metrics=VisionMetrics(),
        # Two more than the threads, one frame on its way in and one on its way out, so that the threads never wait.
        whole_frames_max=settings.image_threads + 2,
    )
    publishing = asyncio.create_task(flow.publish_counts(settings.stats_share_interval_s))
    resources.callback(publishing.cancel)
    servicer = VisionServicer(flow, unread_timeout_s=settings.unread_timeout_s)
    return Assembly(
        [Servicer(SERVICE, lambda server: vision_pb2_grpc.add_VisionServiceServicer_to_server(servicer, server))],
        on_drain=[flow.drain],
    )


def _stores(
    settings: Settings, clock: SystemClock, resources: AsyncExitStack
) -> tuple[KeyframeStore, StatsStore | None]:
    ring, ttl_s = settings.keyframes_per_track, settings.keyframe_ttl_s
    if settings.redis_url is None:
        return MemoryKeyframes(clock, ring=ring, ttl_s=ttl_s), None
    calls = RedisCalls(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
    resources.push_async_callback(calls.close)
    fold_after_s = 6 * settings.track_row_ttl_s
    stats_store = RedisStats(calls, clock, ttl_s=settings.stats_ttl_s, fold_after_s=fold_after_s)
    return RedisKeyframes(calls, clock, ring=ring, ttl_s=ttl_s), stats_store


def main() -> None:
    """Run the service."""
    run("vision", __doc__ or "", Settings, build)


if __name__ == "__main__":
    main()
