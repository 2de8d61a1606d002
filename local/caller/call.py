"""One call: a caller in a room with microphone, screen share and listener, and the messages of the agent."""

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
from local.caller.listener import AudioListener
from local.caller.microphone import Microphone, SpeechInterval
from local.caller.screen_share import ScreenShare
from local.caller.turn_report import TOPIC, TurnReport, parse_turn_report

CHAT_TOPIC = "lk.chat"
TRANSCRIPTION_TOPIC = "lk.transcription"
_FINAL = "lk.transcription_final"
_VIDEO_BITS_PER_S = 1_500_000


class AgentDidNotJoin(Exception):
    """No agent joined the room before the timeout."""


class Call:
    """A caller in a room. Create it with `join_call`.

    Attributes:
        turn_reports: reports of the agent, one per finished turn.
        user_transcripts: final transcripts of the caller's speech.
        agent_transcripts: transcripts of the agent's speech.
    """

    def __init__(self, identity: str, first_frame: bytes | None) -> None:
        """Create the devices; `connect` publishes them.

        Args:
            identity: participant identity.
            first_frame: I420 frame to share, 1280x720; None publishes no video.
        """
        self.started_s = time.monotonic()
        self.identity = identity
        self.room = rtc.Room()
        self.microphone = Microphone(self.started_s)
        self.screen_share = ScreenShare(first_frame) if first_frame is not None else None
        self.listener = AudioListener(self.started_s)
        self.turn_reports: list[TurnReport] = []
        self.user_transcripts: list[str] = []
        self.agent_transcripts: list[str] = []
        self._agent_audio = asyncio.Event()
        self._turn_arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, url: str, token: str) -> None:
        """Join the room and publish microphone and screen.

        Args:
            url: LiveKit URL.
            token: LiveKit access token.

        Raises:
            livekit.rtc.ConnectError: The server cannot be reached or rejects the token.
        """
        self.room.on("track_subscribed", self._on_track)  # pyright: ignore[reportUnknownMemberType] - untyped there
        self.room.on("data_received", self._on_data)  # pyright: ignore[reportUnknownMemberType] - untyped there
        self.room.register_text_stream_handler(TOPIC, self._on_turn_stream)
        self.room.register_text_stream_handler(TRANSCRIPTION_TOPIC, self._on_transcription)
        await self.room.connect(url, token)
        local = self.room.local_participant
        source = rtc.TrackSource.SOURCE_MICROPHONE
        await local.publish_track(self.microphone.track, rtc.TrackPublishOptions(source=source))
        self._spawn(self.microphone.run())
        if self.screen_share:
            # No simulcast: encoding several layers would take CPU time from the mesh on the same machine.
            encoding = rtc.VideoEncoding(max_framerate=30, max_bitrate=_VIDEO_BITS_PER_S)
            options = rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_SCREENSHARE, simulcast=False, video_encoding=encoding
            )
            await local.publish_track(self.screen_share.track, options)
            self._spawn(self.screen_share.run())

    async def wait_for_agent(self, timeout_s: float) -> None:
        """Wait until the audio track of the agent is subscribed.

        Raises:
            AgentDidNotJoin: No agent has published audio after `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._agent_audio.wait()
        except TimeoutError as error:
            raise AgentDidNotJoin(
                f"no agent joined the room within {timeout_s:.0f} s; see the log of media_gateway"
            ) from error

    async def speak(self, question: Pcm) -> SpeechInterval:
        """Speak `question` (48 kHz mono) in real time and return the times of its first and last sample."""
        return await self.microphone.speak(question)

    async def send_chat(self, text: str) -> float:
        """Send `text` as chat and return the monotonic time of the sending."""
        await self.room.local_participant.send_text(text, topic=CHAT_TOPIC)
        return time.monotonic()

    async def wait_for_answer(self, count: int, timeout_s: float) -> TurnReport | None:
        """Return the next turn report with a complete answer, or None after the timeout.

        Args:
            count: reports to skip from the start of the call.
            timeout_s: limit in seconds.
        """

        def finished() -> TurnReport | None:
            return next((t for t in self.turn_reports[count:] if t.answered and not t.interrupted), None)

        try:
            async with asyncio.timeout(timeout_s), self._turn_arrived:
                await self._turn_arrived.wait_for(lambda: finished() is not None)
        except TimeoutError:
            return None
        return finished()

    def write_recording(self, path: Path) -> None:
        """Write the call so far to a stereo WAV: caller left, agent right."""
        write_wav(path, self.microphone.recording.samples(), self.listener.recording.samples())

    async def close(self) -> None:
        """Leave the room and release the devices."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self.microphone.close()
        if self.screen_share:
            await self.screen_share.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_track(
        self, track: rtc.Track, _publication: rtc.RemoteTrackPublication, _participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self.listener.listen(track))
            self._agent_audio.set()

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == TOPIC:
            self._spawn(self._add_turn_report(packet.data))

    def _on_turn_stream(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        async def read() -> None:
            # StreamError: the call ended before the stream; its text is no longer needed.
            with contextlib.suppress(rtc.StreamError):
                await self._add_turn_report(await reader.read_all())

        self._spawn(read())

    async def _add_turn_report(self, message: str | bytes) -> None:
        turn = parse_turn_report(message)
        if turn is not None:
            async with self._turn_arrived:
                self.turn_reports.append(turn)
                self._turn_arrived.notify_all()

    def _on_transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        async def read() -> None:
            with contextlib.suppress(rtc.StreamError):
                text = (await reader.read_all()).strip()
                if identity != self.identity:
                    self.agent_transcripts.append(text)
                elif (reader.info.attributes or {}).get(_FINAL) == "true":
                    self.user_transcripts.append(text)

        self._spawn(read())


@asynccontextmanager
async def join_call(
    url: str, token: str, identity: str, *, first_frame: bytes | None = None, agent_timeout_s: float = 180
) -> AsyncGenerator[Call]:
    """Join a room, wait for the agent, and leave on exit.

    Args:
        url: LiveKit URL.
        token: LiveKit access token.
        identity: participant identity.
        first_frame: I420 frame to share, 1280x720; None publishes no video.
        agent_timeout_s: limit in seconds for the agent to join.

    Raises:
        AgentDidNotJoin: No agent has joined after `agent_timeout_s`.
    """
    call = Call(identity, first_frame)
    try:
        await call.connect(url, token)
        await call.wait_for_agent(agent_timeout_s)
        yield call
    finally:
        await call.close()
