"""A session against real servers: fallback timer, restarts, refusals and closing."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.vision import I420Frame, PacingRules, VisionClient, WatchSession
from tests.fakes.waiting import DEADLINE_S, until
from tests.fakes.watched import PATIENT, frame, free_port

FLAT = bytes([100]) * (64 * 64 * 3 // 2)


def delivered(session: WatchSession) -> bool:
    return session._encoder.idle


class NoVerdicts(vision_pb2_grpc.VisionServiceServicer):
    """Accepts offers and sends no verdicts."""

    async def Watch(self, request_iterator, context):
        async for _ in request_iterator:
            pass
        return
        yield


async def test_the_fallback_timer_keeps_frames_without_a_service():
    kept = []
    async with MeshChannel(f"127.0.0.1:{free_port()}", lambda: "") as mesh:
        async with VisionClient(mesh).watch(lambda _, keyframe: kept.append(keyframe)) as session:
            await asyncio.sleep(0.06)
            for i in range(31):
                session.submit("r", "t", frame(), captured_at_s=i / 30)
            await until(lambda: len(kept) == 4)
    assert all(k.by_timer and k.cause == pb.CAUSE_TIMER for k in kept)
    assert [round(k.captured_at_s, 2) for k in kept] == [0.0, 0.27, 0.53, 0.8]


async def test_the_fallback_timer_keeps_frames_without_verdicts():
    kept = []
    servicers = [
        Servicer("vision", lambda s: vision_pb2_grpc.add_VisionServiceServicer_to_server(NoVerdicts(), s)),
    ]
    server = MeshServer("chassis_test", ServerSettings(drain_grace_s=0.1), Assembly(servicers))
    await server.start()
    try:
        async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "") as mesh:
            rules = PacingRules(verdict_timeout_s=0.02)
            watching = VisionClient(mesh).watch(lambda _, keyframe: kept.append(keyframe), rules=rules)
            async with watching as session:
                await until(lambda: session.connected)
                session.submit("r", "t", frame(), captured_at_s=0.0)
                await asyncio.sleep(0.05)
                for i in range(1, 31):
                    session.submit("r", "t", frame(), captured_at_s=i / 30)
                await until(lambda: len(kept) == 4)
                assert session.pending_offers <= 8
    finally:
        await server.stop()
    assert all(k.by_timer for k in kept)


async def test_a_session_reconnects_after_a_restart(serving, channel):
    kept: list[tuple[str, str]] = []
    port = free_port()
    tracks = ("a", "b", "c")
    session = None

    async def show(seconds: float, base_s: float) -> None:
        for i in range(int(seconds * 30)):
            for track in tracks:
                session.submit("r", track, frame(), captured_at_s=base_s + i / 30)  # type: ignore[attr-defined]
            await asyncio.sleep(0.002)

    async with serving(grpc_port=port, drain_grace_s=0.5) as first, channel(first) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda _, k: kept.append((k.track, k.by_timer)), rules=PATIENT) as session:
            await until(lambda: session.connected)
            await show(1.0, 0.0)
            await until(lambda: session.pending_offers == 0 and delivered(session))
            before = [track for track, _ in kept]
            await first.stop()
            await until(lambda: not session.connected)
            async with serving(grpc_port=port):
                await until(lambda: session.connected)
                await show(1.0, 2.0)
                await until(lambda: session.pending_offers == 0 and delivered(session))
                assert session.stats.reconnects >= 1
                assert session.error is None
    assert sorted(before) == sorted(tracks)
    # The picture is unchanged, so the first keyframe of the new server is dropped.
    assert sorted(track for track, _ in kept) == sorted(tracks)


async def test_a_session_moves_to_another_replica_during_a_rolling_restart(serving):
    kept: list[str] = []
    async with serving() as one, serving() as two:
        both = f"ipv4:127.0.0.1:{one.grpc_port},127.0.0.1:{two.grpc_port}"
        source = TokenMinter("a-secret-of-32-bytes-for-tests-only!").source("acme", caller="test")
        async with MeshChannel(both, source) as mesh:
            async with VisionClient(mesh).watch(lambda _, k: kept.append(k.track), rules=PATIENT) as session:
                await until(lambda: session.connected)
                times = itertools.count()

                async def show_one() -> None:
                    at_s = next(times) / 30
                    for track in ("a", "b"):
                        session.submit("r", track, frame(), captured_at_s=at_s)
                    await until(lambda: session.pending_offers == 0)

                for _ in range(20):
                    await show_one()
                offered = session.stats.offered
                await one.stop()
                await until(lambda: session.connected)
                async with asyncio.timeout(DEADLINE_S):
                    while session.stats.offered == offered:
                        await show_one()
                assert session.error is None
    assert max(kept.count(track) for track in ("a", "b")) <= 2


async def test_a_new_stream_keeps_changes_made_during_the_gap(serving, channel):
    kept: list[bool] = []
    port = free_port()
    async with serving(grpc_port=port, drain_grace_s=0.5) as first, channel(first) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.by_timer), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", frame(100), captured_at_s=0.0)
            await until(lambda: len(kept) == 1)
            await first.stop()
            await until(lambda: not session.connected)
            async with serving(grpc_port=port):
                await until(lambda: session.connected)
                session.submit("r", "t", frame(200), captured_at_s=3.0)
                await until(lambda: len(kept) == 2)
    assert kept == [False, False]


async def test_offers_of_several_tracks_share_messages(serving, channel):
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(10):
                for track in range(20):
                    session.submit("r", f"t{track}", frame(100 + i), captured_at_s=i / 30)
                await until(lambda: session.pending_offers == 0)
    offers = session.stats.offered
    assert offers >= 40
    assert session.stats.messages - session.stats.kept <= offers / 5


async def test_suppressed_frames_are_reported_to_the_server(serving, channel):
    async with serving() as server, channel(server) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(150):
                session.submit("r", "t", frame(), captured_at_s=i / 30)
                await until(lambda: session.pending_offers == 0)
        await until(lambda: not session.connected)
        total = (await client.get_stats()).total
    stats = session.stats
    assert (stats.kept, stats.seen) == (1, 150)
    assert stats.offered <= 8
    assert total.suppressed >= stats.suppressed - 30
    assert (total.offered, total.kept) == (stats.offered, 1)


async def test_a_refused_config_sets_the_error_and_starts_the_timer(serving, channel):
    kept = []
    config = pb.WatchConfig(options=pb.PolicyOptions(hash_threshold_bits=99))
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k), config=config) as session:
            await until(lambda: session.error is not None)
            session.submit("r", "t", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == 1)
    assert isinstance(session.error, errors.InvalidArgument)
    assert kept[0].by_timer


async def test_a_cut_after_a_still_stretch_is_kept_within_200_ms(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(120):
                session.submit("r", "t", frame(100 if i < 91 else 220), captured_at_s=i / 30)
                await until(lambda: session.pending_offers == 0)
            await until(lambda: len(kept) >= 2)
    assert kept[1].captured_at_s - 91 / 30 <= 0.2


async def test_forgotten_tracks_and_closed_sessions_hold_nothing(serving, channel):
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", frame())
            session.forget("r", "t")
            assert session.pending_offers == 0
    assert not session.connected


async def test_a_jpeg_above_1_mib_is_encoded_at_lower_quality(serving, channel):
    width, height = 1600, 900
    rng = np.random.default_rng(0)
    data = rng.integers(16, 235, width * height * 3 // 2, dtype=np.uint8).tobytes()
    kept = []
    async with serving() as server, channel(server) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda jpeg, _: kept.append(jpeg), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", I420Frame(data, width, height))
            await until(lambda: len(kept) == 1)
            async with asyncio.timeout(DEADLINE_S):
                while not (listed := (await client.list_keyframes("r", "t")).keyframes):
                    pass
    assert len(kept[0]) <= 1024 * 1024
    assert [k.jpeg for k in listed] == kept
