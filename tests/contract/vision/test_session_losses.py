"""No kept picture is lost on its way and no track goes blind: sessions against a real server on rough days."""

from __future__ import annotations

import asyncio

from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.vision import PacingRules, VisionClient
from hocket.client.vision.session import ENCODES_QUEUED_MAX, OFFERS_QUEUED_MAX
from tests.fakes.waiting import until
from tests.fakes.watched import PATIENT, frame


async def test_a_track_that_is_forgotten_and_seen_again_is_offered_and_its_picture_kept(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.frame_id), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "t", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == 1)
            session.forget("r", "t")
            # The same picture: the server has it, whoever watches anew has not.
            session.submit("r", "t", frame(), captured_at_s=5.0)
            await until(lambda: len(kept) == 2)
            session.submit("r", "t", frame(220), captured_at_s=6.0)
            await until(lambda: len(kept) == 3)
    assert session.stats.rejected == 0
    assert kept == sorted(kept)


async def test_a_track_that_the_server_has_no_room_for_is_kept_by_the_timer_and_seldom_offered(serving, channel):
    kept = []
    async with serving(tracks_per_stream_max=1) as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append((k.track, k.by_timer)), rules=PATIENT) as session:
            await until(lambda: session.connected)
            session.submit("r", "a", frame(), captured_at_s=0.0)
            await until(lambda: session.unanswered == 0)
            session.submit("r", "b", frame(), captured_at_s=0.0)
            await until(lambda: session.stats.rejected == 1)
            for i in range(1, 31):
                session.submit("r", "b", frame(40 + i), captured_at_s=i / 30)
            await until(lambda: kept.count(("b", True)) == 4)
    assert session.stats.rejected == 1


async def test_of_many_tracks_that_begin_together_every_one_gets_its_picture(serving, channel):
    tracks = 3 * ENCODES_QUEUED_MAX
    kept = set()
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.add(k.track), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for i in range(tracks):
                session.submit("r", f"t{i}", frame(), captured_at_s=0.0)
            await until(lambda: len(kept) == tracks)
    assert session.stats.dropped == 0


async def test_an_offer_that_was_never_sent_leaves_its_track_waiting_for_nothing(serving, channel):
    async with serving(tracks_per_stream_max=2 * OFFERS_QUEUED_MAX) as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            # More at once than the queue takes.
            for i in range(OFFERS_QUEUED_MAX + 50):
                session.submit("r", f"t{i}", frame(), captured_at_s=0.0)
            await until(lambda: session.unanswered == 0)
            assert session.stats.offered == OFFERS_QUEUED_MAX
    assert all(not state.held for state in session._tracks.values())


async def test_a_clock_that_goes_back_a_little_costs_no_kept_picture(serving, channel):
    kept = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k.captured_at_s), rules=PATIENT) as session:
            await until(lambda: session.connected)
            for at_s, level in ((5.0, 100), (6.0, 20), (5.5, 220)):
                before = len(kept)
                session.submit("r", "t", frame(level), captured_at_s=at_s)
                await until(lambda before=before: session.unanswered == 0 and len(kept) >= before)
            # What comes to rest in the new time is kept in it.
            for i in range(1, 10):
                session.submit("r", "t", frame(220), captured_at_s=5.5 + i / 30)
                await until(lambda: session.unanswered == 0)
            await until(lambda: len(kept) == 3)
    assert kept[-1] < 6.0


async def test_a_picture_of_a_track_that_was_forgotten_meanwhile_is_not_delivered(serving, channel):
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


class Late(vision_pb2_grpc.VisionServiceServicer):
    """Keeps the first frame that it is offered, when it is told to say so."""

    def __init__(self) -> None:
        self.speaks = asyncio.Event()

    async def Watch(self, request_iterator, context):
        await anext(request_iterator)
        offer = (await anext(request_iterator)).offers.offers[0]
        await self.speaks.wait()
        verdict = pb.FrameVerdict(
            frame_id=offer.frame_id, track=offer.track, verdict=pb.VERDICT_KEEP, cause=pb.CAUSE_CUT
        )
        yield pb.WatchResponse(verdicts=pb.VerdictBatch(verdicts=[verdict]))
        await asyncio.Event().wait()


async def test_a_late_verdict_over_an_older_picture_than_the_timer_kept_adds_nothing():
    kept, servicer = [], Late()
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
                held = session.unanswered
                servicer.speaks.set()
                await until(lambda: session.unanswered < held)
                await asyncio.sleep(0.05)
    finally:
        await server.stop()
    assert kept == [True]
    assert session.stats.kept == 0
