"""Client of the vision service: keep the frames of a video that show something new.

`VisionClient.watch` returns a session for live tracks; `WatchSession` has an example. `submit` does not wait: it makes
a 64x64 thumbnail when the pacing asks for one (0.2 ms for 720p), offers it unless nothing moved since the last offer,
and holds the frame until its verdict. Kept frames are encoded to JPEG in a thread, passed to a callback, and uploaded.
Without a verdict for 50 ms, or without the service, a fallback timer keeps a frame every 0.25 s. One session serves all
tracks of a process, because offers of several tracks share messages.

`VisionClient.dedup` takes whole pictures (JPEG, PNG, WebP, raw) and returns their verdicts.
"""

from hocket.client.vision.client import IDEMPOTENT, VisionClient
from hocket.client.vision.frame import Frame, I420Frame, RgbFrame
from hocket.client.vision.jpeg import encode_jpeg
from hocket.client.vision.keyframe import Keyframe, OnKeyframe
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.session import WatchSession
from hocket.client.vision.session_stats import SessionStats
from hocket.client.vision.thumbnail import Thumbnail, thumbnail, thumbnail_from_i420

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
