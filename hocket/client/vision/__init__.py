"""Watch live video for frames that show something new, and pay for those alone.

A gateway gives every decoded frame to a session and gets the kept ones back as JPEG:

    from hocket.client.vision import I420Frame, Keyframe, VisionClient

    def on_keyframe(jpeg: bytes, keyframe: Keyframe) -> None:
        latest[keyframe.track] = jpeg                         # for instance: shown to the model in the next turn

    async with VisionClient(channel).watch(on_keyframe) as session:      # channel: hocket.chassis.channel.MeshChannel
        async for event in rtc.VideoStream(track, capacity=1, format=rtc.VideoBufferType.I420):
            frame = I420Frame(event.frame.data, event.frame.width, event.frame.height, rotation=90 * event.rotation)
            session.submit(room, track_id, frame, captured_at_s=event.timestamp_us / 1e6, speaking=user_is_speaking)

`submit` never waits. It makes a 64x64 thumbnail when the pace asks for one (0.2 ms for 720p), offers it unless nothing
moved since the last offer, and holds the frame until the verdict comes. Only kept frames are encoded, in a thread, and
uploaded over the same stream. When no verdict comes within 50 ms, or the service is away, a frame is kept every 0.25 s.
The session reconnects by itself; `session.stats` counts everything, `session.error` holds what cannot be mended.
One session serves all tracks of a process: offers of several tracks travel in one message.
"""

from hocket.client.vision.client import IDEMPOTENT, VisionClient
from hocket.client.vision.frame import Frame, I420Frame, RgbFrame
from hocket.client.vision.jpeg import encode_jpeg
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.session import WatchSession
from hocket.client.vision.thumbnail import Thumbnail, thumbnail, thumbnail_from_i420
from hocket.client.vision.watched import Keyframe, OnKeyframe, SessionStats

__all__ = [
    "IDEMPOTENT",
    "Frame",
    "I420Frame",
    "Keyframe",
    "OnKeyframe",
    "PacingRules",
    "RgbFrame",
    "SessionStats",
    "Thumbnail",
    "VisionClient",
    "WatchSession",
    "encode_jpeg",
    "thumbnail",
    "thumbnail_from_i420",
]
