"""Gates for a frame-by-frame evaluator, gate(rgb, ts) -> kept, through the service, real gRPC and the real client.

For `eval_vision.py --gate bench.vision.gates:cells`. The service runs as a process of its own; frames go through a
`WatchSession` as in a gateway, as I420, on the clip's own clock. Nothing waits in real time.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

import cv2
import numpy as np
import structlog
from hocket.vision.v1 import vision_pb2
from numpy.typing import NDArray

from bench.vision.service import ServiceProcess
from hocket.chassis.channel import MeshChannel
from hocket.client.vision import I420Frame, PacingRules, VisionClient, WatchSession

Gate = Callable[[NDArray[np.uint8], float], bool]
_ANSWER_S_MAX = 20.0
# When the evaluator ends, the service ends under the sessions: that they say so is noise here.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


class _Loop:
    """Runs an event loop in a thread with a channel to a service process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self._service = ServiceProcess()
        atexit.register(self._service.stop)
        self.channel = self.run(self._connect())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    async def _connect(self) -> MeshChannel:
        return MeshChannel(self._service.target, lambda: "")


@cache
def _shared() -> _Loop:
    return _Loop()


class SessionGate:
    """Gate of one clip, through a session of its own."""

    def __init__(self, policy: vision_pb2.Policy.ValueType, **options: Any) -> None:
        self._shared = _shared()
        config = vision_pb2.WatchConfig(policy=policy, options=vision_pb2.PolicyOptions(**options))
        self.session: WatchSession = self._shared.run(self._open(config))

    async def _open(self, config: vision_pb2.WatchConfig) -> WatchSession:
        # The clip's clock runs faster or slower than the wall's: no verdict is late here.
        rules = PacingRules(verdict_timeout_s=_ANSWER_S_MAX)
        session = VisionClient(self._shared.channel).watch(lambda *_: None, config=config, rules=rules)
        await session.__aenter__()
        async with asyncio.timeout(_ANSWER_S_MAX):
            while not session.connected:  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0.005)
        return session

    def __call__(self, rgb: NDArray[np.uint8], at_s: float) -> bool:
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
        frame = I420Frame(planes.tobytes(), rgb.shape[1], rgb.shape[0])
        return bool(self._shared.run(self._submit(frame, at_s)))

    async def _submit(self, frame: I420Frame, at_s: float) -> bool:
        stats = self.session.stats
        before = stats.kept + stats.refreshed + stats.kept_by_timer
        self.session.submit("clip", "video", frame, captured_at_s=at_s)
        async with asyncio.timeout(_ANSWER_S_MAX):
            while self.session.pending_offers:  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0)
        return stats.kept + stats.refreshed + stats.kept_by_timer > before


def cells(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_CELLS)


def economy(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_ECONOMY)


def phash(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_PHASH)


def dhash(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_DHASH)


def ahash(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_AHASH)


def timer(_video: str) -> Gate:
    return SessionGate(vision_pb2.POLICY_TIMER)
