"""Sessions lose no keyframe and no track after refusals, overload and clock steps."""

from __future__ import annotations

import asyncio
import threading

from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.vision import PacingRules, VisionClient
from hocket.client.vision.keyframe_encoder import ENCODES_QUEUED_MAX
from hocket.client.vision.session import OFFERS_QUEUED_MAX
from tests.fakes.waiting import DEADLINE_S, until
from tests.fakes.watched import PATIENT, frame, free_port


async def stored_ids(client: VisionClient) -> list[int]:
    """Return the frame ids of the keyframes of track `t` in the server's store, once there is one."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := (await client.list_keyframes("r", "t", limit=4)).keyframes):  # noqa: ASYNC110 - the store has no event
            await asyncio.sleep(0.01)
    return [keyframe.frame_id for keyframe in found]


async def test_a_forgotten_track_is_offered_again(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.frame_id), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == 1)
            session.forget("r", "t")
            # The server knows the picture; the caller, who forgot the track, has no keyframe of it.
            session.submit("r", "t", frame(), captured_at_s=5.0)
            await until(lambda: len(kept) == 2)
            session.submit("r", "t", frame(220), captured_at_s=6.0)
            await until(lambda: len(kept) == 3)
    assert session.stats.rejected == 0
    assert kept == sorted(kept)


async def test_a_restarted_server_gets_the_keyframe_of_an_unchanged_picture(serving, channel):
    kept = []
    port = free_port()
    async with serving(grpc_port=port, drain_grace_s=0.5) as first, channel(first) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda _, k: kept.append(k.frame_id), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == 1)
            await first.stop()
            await until(lambda: not session.connected)
            async with serving(grpc_port=port):
                await until(lambda: session.connected)
                session.submit("r", "t", frame(), captured_at_s=1.0)
                (stored_id,) = await stored_ids(client)
    assert len(kept) == 1
    assert stored_id > kept[0]
    assert session.stats.rejected == 0


async def test_a_keyframe_encoded_after_a_restart_is_uploaded_with_the_next_offer(serving, channel):
    kept = []
    port = free_port()
    async with serving(grpc_port=port, drain_grace_s=0.5) as first, channel(first) as mesh:
        client = VisionClient(mesh)
        async with client.watch(lambda _, k: kept.append(k.frame_id), rules=PATIENT) as session:
            await until(lambda: session.connected)
            encode = threading.Event()
            session._encoder._thread.submit(encode.wait)
            try:
                session.submit("r", "t", frame(), captured_at_s=0.0)
                await until(lambda: session.stats.kept == 1)
                await first.stop()
                await until(lambda: not session.connected)
                async with serving(grpc_port=port):
                    await until(lambda: session.connected)
                    encode.set()
                    await until(lambda: len(kept) == 1)
                    # The server does not know the track: the upload would be rejected with TRACK_NOT_FOUND.
                    session.submit("r", "t", frame(), captured_at_s=1.0)
                    (stored_id,) = await stored_ids(client)
                    assert session.connected
            finally:
                encode.set()
    assert len(kept) == 1
    assert stored_id > kept[0]
    assert session.stats.rejected == 0
    assert session.error is None


async def test_a_refused_track_is_kept_by_the_timer(serving, channel):
    kept = []
    async with serving(tracks_per_stream_max=1) as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append((k.track, k.by_timer)), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "a", frame(), captured_at_s=0.0)
            await until(lambda: session.pending_offers == 0)
            session.submit("r", "b", frame(), captured_at_s=0.0)
            await until(lambda: session.stats.rejected == 1)
            for i in range(1, 31):
                session.submit("r", "b", frame(40 + i), captured_at_s=i / 30)
            await until(lambda: kept.count(("b", True)) == 4)
    assert session.stats.rejected == 1


async def test_many_tracks_that_start_together_all_get_a_keyframe(serving, channel):
    tracks = 3 * ENCODES_QUEUED_MAX
    kept = set()
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.add(k.track), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(tracks):
                session.submit("r", f"t{i}", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == tracks)
    assert session.stats.dropped == 0


async def test_an_unsent_offer_is_withdrawn(serving, channel):
    async with serving(tracks_per_stream_max=2 * OFFERS_QUEUED_MAX) as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            # More offers at once than the queue holds.
            for i in range(OFFERS_QUEUED_MAX + 50):
                session.submit("r", f"t{i}", frame(), captured_at_s=0.0)
            await until(lambda: session.pending_offers == 0)
            assert session.stats.offered == OFFERS_QUEUED_MAX
    assert all(not state.pending for state in session._tracks.values())


async def test_a_small_clock_step_back_loses_no_keyframe(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.captured_at_s), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for at_s, level in ((5.0, 100), (6.0, 20), (5.5, 220)):
                before = len(kept)
                session.submit("r", "t", frame(level), captured_at_s=at_s)
                await until(lambda before=before: session.pending_offers == 0 and len(kept) >= before)  # type: ignore[misc]
            # A change that settles after the step is kept.
            for i in range(1, 10):
                session.submit("r", "t", frame(220), captured_at_s=5.5 + i / 30)
                await until(lambda: session.pending_offers == 0)
            await until(lambda: len(kept) == 3)
    assert kept[-1] < 6.0


async def test_a_keyframe_of_a_forgotten_track_is_not_delivered(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.track), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(20):
                session.submit("r", f"t{i}", frame(), captured_at_s=0.0)
            await until(lambda: bool(kept))
            gone = [f"t{i}" for i in range(20) if f"t{i}" not in kept]
            for track in gone:
                session.forget("r", track)
            session.submit("r", "last", frame(), captured_at_s=0.0)
            await until(lambda: "last" in kept)
    assert not set(gone) & set(kept)


class LateVerdict(vision_pb2_grpc.VisionServiceServicer):
    """Keeps the first offered frame once the test releases the verdict."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def Watch(self, request_iterator, context):
        await anext(request_iterator)
        offer = (await anext(request_iterator)).offers.offers[0]
        await self.release.wait()
        verdict = pb.FrameVerdict(
            frame_id=offer.frame_id, track=offer.track, verdict=pb.VERDICT_KEEP, cause=pb.CAUSE_CUT
        )
        yield pb.WatchResponse(verdicts=pb.VerdictBatch(verdicts=[verdict]))
        await asyncio.Event().wait()


async def test_a_late_verdict_on_an_older_frame_is_ignored():
    kept, servicer = [], LateVerdict()
    add = vision_pb2_grpc.add_VisionServiceServicer_to_server
    server = MeshServer(
        "chassis_test", ServerSettings(drain_grace_s=0.1), Assembly([Servicer("v", lambda s: add(servicer, s))])
    )
    await server.start()
    try:
        async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "") as mesh:
            rules = PacingRules(verdict_timeout_s=0.02)
            async with VisionClient(mesh).watch(lambda _, k: kept.append(k.by_timer), rules=rules) as session:
                await until(lambda: session.connected)
                session.submit("r", "t", frame(), captured_at_s=0.0)
                await asyncio.sleep(0.05)
                session.submit("r", "t", frame(200), captured_at_s=1.0)
                await until(lambda: kept == [True])
                held = session.pending_offers
                servicer.release.set()
                await until(lambda: session.pending_offers < held)
                await asyncio.sleep(0.05)
    finally:
        await server.stop()
    assert kept == [True]
    assert session.stats.kept == 0
