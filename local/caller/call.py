"""One call: the caller in the room, with microphone, screen and ear, and what the agent writes to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from livekit import rtc

from local.caller.audio import Pcm, write_wav
from local.caller.listener import Ear
from local.caller.microphone import Microphone, Said
from local.caller.screen_share import Screen
from local.caller.turn_report import TOPIC, TurnReport, read_turn

CHAT_TOPIC = "lk.chat"
TRANSCRIPTION_TOPIC = "lk.transcription"
_FINAL = "lk.transcription_final"
_VIDEO_BITS_PER_S = 1_500_000


class AgentMissing(Exception):
    """No agent came into the room in time."""


class Call:
    """A caller in a room. Open it with `calling`."""

    def __init__(self, identity: str, first_frame: bytes | None) -> None:
        """Prepare devices; without `first_frame` no video is published."""
        self.started_s = time.monotonic()
        self.identity = identity
        self.room = rtc.Room()
        self.microphone = Microphone(self.started_s)
        self.screen = Screen(first_frame) if first_frame is not None else None
        self.ear = Ear(self.started_s)
        self.turns: list[TurnReport] = []
        self.heard_by_agent: list[str] = []
        self.said_by_agent: list[str] = []
        self._agent_audio = asyncio.Event()
        self._turn_came = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, url: str, token: str) -> None:
        """Join and publish."""
        self.room.on("track_subscribed", self._on_track)  # pyright: ignore[reportUnknownMemberType] - untyped there
        self.room.on("data_received", self._on_data)  # pyright: ignore[reportUnknownMemberType] - untyped there
        self.room.register_text_stream_handler(TOPIC, self._on_turn_stream)
        self.room.register_text_stream_handler(TRANSCRIPTION_TOPIC, self._on_transcription)
        await self.room.connect(url, token)
        local = self.room.local_participant
        source = rtc.TrackSource.SOURCE_MICROPHONE
        await local.publish_track(self.microphone.track, rtc.TrackPublishOptions(source=source))
        self._spawn(self.microphone.run())
        if self.screen:
            # One layer only: the caller shares two cores with the whole mesh.
            encoding = rtc.VideoEncoding(max_framerate=30, max_bitrate=_VIDEO_BITS_PER_S)
            options = rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_SCREENSHARE, simulcast=False, video_encoding=encoding
            )
            await local.publish_track(self.screen.track, options)
            self._spawn(self.screen.run())

    async def wait_for_agent(self, timeout_s: float) -> None:
        """Return when the agent's voice can be heard. Raises AgentMissing."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._agent_audio.wait()
        except TimeoutError as error:
            raise AgentMissing(f"no agent joined the room within {timeout_s:.0f} s") from error

    async def say(self, question: Pcm) -> Said:
        """Speak `question` in real time."""
        return await self.microphone.say(question)

    async def write(self, text: str) -> float:
        """Send `text` as chat; returns when it was sent, on the monotonic clock."""
        await self.room.local_participant.send_text(text, topic=CHAT_TOPIC)
        return time.monotonic()

    async def turn_with_answer(self, count: int, timeout_s: float) -> TurnReport | None:
        """The first report after the first `count` ones that holds a finished answer, or None when none comes."""

        def finished() -> TurnReport | None:
            return next((t for t in self.turns[count:] if t.answered and not t.interrupted), None)

        try:
            async with asyncio.timeout(timeout_s), self._turn_came:
                await self._turn_came.wait_for(lambda: finished() is not None)
        except TimeoutError:
            return None
        return finished()

    def record(self, path: Path) -> None:
        """Write both sides so far to a stereo WAV."""
        write_wav(path, self.microphone.tape.pcm(), self.ear.tape.pcm())

    async def close(self) -> None:
        """Leave the room and free everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self.microphone.close()
        if self.screen:
            await self.screen.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_track(
        self, track: rtc.Track, _publication: rtc.RemoteTrackPublication, _participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self.ear.listen(track))
            self._agent_audio.set()

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == TOPIC:
            self._spawn(self._take_turn(packet.data))

    def _on_turn_stream(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        async def read() -> None:
            # A reader that the end of the call cuts raises; there is nobody left to tell.
            with contextlib.suppress(rtc.StreamError):
                await self._take_turn(await reader.read_all())

        self._spawn(read())

    async def _take_turn(self, message: str | bytes) -> None:
        turn = read_turn(message)
        if turn is not None:
            async with self._turn_came:
                self.turns.append(turn)
                self._turn_came.notify_all()

    def _on_transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            with contextlib.suppress(rtc.StreamError):
                text = (await reader.read_all()).strip()
                if identity != self.identity:
                    self.said_by_agent.append(text)
                elif (reader.info.attributes or {}).get(_FINAL) == "true":
                    self.heard_by_agent.append(text)

        self._spawn(read())


@asynccontextmanager
async def calling(
    url: str, token: str, identity: str, *, first_frame: bytes | None = None, agent_timeout_s: float = 180
) -> AsyncGenerator[Call]:
    """A call with the agent on the line. Raises AgentMissing; leaves the room at the end."""
    call = Call(identity, first_frame)
    try:
        await call.connect(url, token)
        await call.wait_for_agent(agent_timeout_s)
        yield call
    finally:
        await call.close()
