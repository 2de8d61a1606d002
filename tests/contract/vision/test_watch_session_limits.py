"""Under load a session keeps tracks apart, its event loop free and its memory bounded."""

from __future__ import annotations

import io
import threading
import weakref
from collections import defaultdict
from dataclasses import replace

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from PIL import Image

from hocket.client.vision import I420Frame, Keyframe, PacingRules, RgbFrame, VisionClient, keyframe_encoder
from hocket.client.vision.keyframe_encoder import ENCODES_QUEUED_MAX
from hocket.client.vision.session import OFFERS_PER_MESSAGE_MAX
from tests.fakes.waiting import until
from tests.fakes.watched import frame

# Long enough that the fallback timer never runs: all keyframes come from verdicts.
PATIENT = PacingRules(verdict_timeout_s=60)
FPS = 30
# Frames per track: longer than the heartbeat interval.
SHOWN = 50


def blinking(level: int, i: int) -> I420Frame:
    """Return a picture of one level whose corner changes in every frame, unless the level is a multiple of 3."""
    luma = np.full((64, 64), level, np.uint8)
    luma[:8, :8] = 20 + 47 * i % 211 if level % 3 else 200
    return I420Frame(luma.tobytes() + bytes([128]) * 2048, 64, 64)


async def test_many_tracks_are_independent_and_share_messages(serving, channel):
    levels = {f"t{n}": 40 + 2 * n for n in range(90)}
    kept: defaultdict[str, list[tuple[Keyframe, bytes]]] = defaultdict(list)
    async with serving() as server, channel(server) as mesh:
        watching = VisionClient(mesh).watch(lambda jpeg, k: kept[k.track].append((k, jpeg)), rules=PATIENT)
        async with watching as session:
            await until(lambda: session.connected)
            for i in range(SHOWN):
                for track, level in levels.items():
                    session.submit("r", track, blinking(level, i), captured_at_s=i / FPS)
                # Wait for the encoder, whose full queue would drop older frames of a track.
                await until(lambda: session.pending_offers == 0 and not session._encoder.queued)
            await until(lambda: session._encoder.idle)
            total = (await VisionClient(mesh).get_stats()).total
    stats = session.stats
    assert (stats.seen, stats.offered) == (SHOWN * len(levels), total.offered)
    assert (stats.rejected, stats.kept_by_timer, stats.dropped) == (0, 0, 0)
    assert kept.keys() == levels.keys()
    for track, pictures in kept.items():
        expected = [0.0, 0.27, 0.53, 0.8, 1.07, 1.33, 1.6] if levels[track] % 3 else [0.0]
        assert [round(k.captured_at_s, 2) for k, _ in pictures] == expected
        for _, jpeg in pictures:
            shown = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))[32, 32]
            assert abs(int(shown) - (levels[track] - 16) * 255 / 219) <= 2, track
    uploads = stats.kept + stats.refreshed
    assert stats.messages - uploads <= 3 * SHOWN * -(-len(levels) // OFFERS_PER_MESSAGE_MAX)


class Encoder:
    """Encodes nothing until it is released; records the calling threads."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.threads: set[int] = set()

    def __call__(self, given: I420Frame, *, quality: int) -> bytes:
        self.threads.add(threading.get_ident())
        assert self.may_go.wait(60)
        return bytes([given.width, quality])


async def test_a_stalled_encoder_blocks_no_verdict_and_bounds_memory(serving, channel, monkeypatch):
    encoder, tracks = Encoder(), ("a", "b", "c")
    monkeypatch.setattr(keyframe_encoder, "encode_jpeg", encoder)
    alive: list[weakref.ref[I420Frame]] = []
    kept: list[tuple[str, int]] = []

    async with serving() as server, channel(server) as mesh:
        watching = VisionClient(mesh).watch(lambda _, k: kept.append((k.track, k.frame_id)), rules=PATIENT)
        async with watching as session:
            await until(lambda: session.connected)
            for i in range(600):
                for track in tracks:
                    picture = frame(40 + 2 * (i % 80))
                    alive.append(weakref.ref(picture))
                    session.submit("r", track, picture, captured_at_s=i / FPS)
                    del picture
                # Verdicts come while nothing is encoded, so the loop is free.
                await until(lambda: session.pending_offers == 0)
                assert session._encoder.queued <= ENCODES_QUEUED_MAX
                assert len(session._uploads) == 0
            assert session.stats.kept > 2 * ENCODES_QUEUED_MAX
            assert session.stats.dropped >= session.stats.kept - ENCODES_QUEUED_MAX - 1
            assert kept == []
            # The queued frames, the one being encoded, and the last of each track.
            assert sum(ref() is not None for ref in alive) <= ENCODES_QUEUED_MAX + 1 + len(tracks)
            newest = {track: session._tracks["r", track].keyframe_id for track in tracks}
            encoder.may_go.set()
            await until(lambda: session._encoder.idle)
    assert threading.get_ident() not in encoder.threads
    assert len(encoder.threads) == 1
    # The newest keyframe of each track was queued and is delivered last.
    assert dict(kept) == newest
    assert len(kept) == session.stats.kept - session.stats.dropped


async def test_frames_pending_a_verdict_are_limited_to_the_newest(serving, channel):
    """The server sends nothing for a second of video."""
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda *_: None, rules=PATIENT) as session:
            await until(lambda: session.connected)
            alive: list[weakref.ref[I420Frame]] = []
            for i in range(FPS):
                picture = frame(40 + 5 * i)
                alive.append(weakref.ref(picture))
                # Without an await nothing is sent or received.
                session.submit("r", "t", picture, captured_at_s=i / FPS)
                del picture
            assert session.pending_offers <= 8
            held = [i for i, ref in enumerate(alive) if ref() is not None]
            assert held == list(range(FPS - len(held), FPS))
            assert len(held) <= 8
            await until(lambda: session.pending_offers == 0)


WALL = np.asarray(
    Image.fromarray(np.random.default_rng(5).integers(30, 226, (9, 16, 3), dtype=np.uint8)).resize(
        (1280, 720), Image.Resampling.BICUBIC
    )
)


def wall(width: int, height: int, rotation: int = 0) -> I420Frame:
    """Return the picture in another size, as a camera turned by `rotation` sends it."""
    upright = np.asarray(Image.fromarray(WALL).resize((width, height), Image.Resampling.BOX).convert("YCbCr"))
    halves = upright.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    planes = [upright[..., 0], halves[..., 1], halves[..., 2]]
    data = b"".join(np.rot90(plane, k=rotation // 90).tobytes() for plane in planes)
    width, height = (height, width) if rotation in {90, 270} else (width, height)
    return I420Frame(data, width, height, rotation=rotation, full_range=True)


async def test_a_change_of_size_or_rotation_keeps_no_frame(serving, channel):
    """As for a simulcast switch, a turned phone with an upright picture, and RGB instead of planes."""
    switches = [
        wall(1280, 720),
        wall(640, 360),
        wall(320, 180),
        wall(640, 360, rotation=90),
        wall(640, 360, rotation=180),
        wall(1280, 720, rotation=270),
        RgbFrame(WALL.tobytes(), 1280, 720),
    ]
    kept: list[Keyframe] = []
    async with serving() as server, channel(server) as mesh:
        async with VisionClient(mesh).watch(lambda _, k: kept.append(k), rules=PATIENT) as session:
            await until(lambda: session.connected)
            offered = []
            for i in range(15 * len(switches)):
                session.submit("r", "t", switches[i // 15], captured_at_s=i / FPS)
                await until(lambda: session.pending_offers == 0)
                offered += [session.stats.offered]
            assert session.error is None
            assert session.stats.rejected == 0
            # The first frame may be blurred, so its first switch of size counts as a refinement.
            assert [k.cause for k in kept] in ([pb.CAUSE_FIRST], [pb.CAUSE_FIRST, pb.CAUSE_SETTLED])
            before = len(kept)
            # A switch is offered, and the service finds no change.
            assert len(set(offered[14::15])) == len(switches)
            # On its side the picture differs and is kept in that orientation.
            session.submit("r", "t", replace(wall(640, 360), rotation=90), captured_at_s=9.0)
            await until(lambda: len(kept) == before + 1)
    assert [(kept[i].width, kept[i].height) for i in (0, -1)] == [(1280, 720), (360, 640)]
