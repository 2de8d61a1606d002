"""Speech to text over Deepgram's Flux, which decides endpointing itself.

Tested against a local emulator of its WebSocket; never run against the paid service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import numpy as np
from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.listen.v2.socket_client import AsyncV2SocketClient
from deepgram.listen.v2.types import ListenV2FatalError, ListenV2TurnInfo
from websockets.exceptions import ConnectionClosedOK, WebSocketException

from hocket.chassis.errors import MeshError, invalid_field
from hocket.chassis.telemetry import trace_headers
from services.speech.errors import credentials_refused, engine_failed, vendor_busy
from services.speech.events import (
    AudioConsumed,
    EndOfTurn,
    SpeechStarted,
    Transcript,
    TranscriptionEvent,
    TranscriptKind,
    Word,
)
from services.speech.ports import TranscriptionConfig, TranscriptionSession
from services.speech.prices import PriceRow
from services.speech.resampling import Resampler

PROVIDER = "deepgram"
RATE_HZ = 16_000
# Flux accepts at most 100 key terms and about 500 tokens; whole questions do not help it.
KEY_TERMS_MAX = 100
KEY_TERM_WORDS_MAX = 4
# Shortest and longest end-of-turn timeout that Flux accepts.
_TURN_TIMEOUT_MS = (500, 10_000)
_KINDS = {
    "StartOfTurn": TranscriptKind.INTERIM,
    "Update": TranscriptKind.INTERIM,
    "TurnResumed": TranscriptKind.INTERIM,
    "EagerEndOfTurn": TranscriptKind.PREFLIGHT,
    "EndOfTurn": TranscriptKind.FINAL,
}


class DeepgramSpeechToText:
    """`ports.SpeechToText` with one WebSocket per stream."""

    def __init__(self, api_key: str, price: PriceRow, *, url: str, eager_threshold: float, timeout_s: float) -> None:
        """Configure the client; connections are made per stream.

        Args:
            api_key: Key of Deepgram.
            price: Price row of the model; its `model` is the one requested.
            url: WebSocket URL, wss://...
            eager_threshold: Confidence of the eager end of turn, 0.3 to 0.9.
            timeout_s: Longest wait for a connection, for a send, and for the last message, in seconds.
        """
        self.price = price
        self._eager_threshold = eager_threshold
        self._timeout_s = timeout_s
        http = url.replace("ws", "http", 1)
        environment = DeepgramClientEnvironment(base=http, production=url, agent=url, agent_rest=http)
        self._client = AsyncDeepgramClient(api_key=api_key, environment=environment)

    @asynccontextmanager
    async def open(self, config: TranscriptionConfig) -> AsyncGenerator[TranscriptionSession, None]:
        """Connect; leaving the block closes the socket, so that billing ends with the stream."""
        options = self._options(config)
        connection = self._client.listen.v2.connect(**options, request_options={"additional_headers": trace_headers()})
        with _vendor_errors():
            async with asyncio.timeout(self._timeout_s):
                socket = await connection.__aenter__()
        try:
            yield _Session(socket, config, self._timeout_s)
        finally:
            with _vendor_errors():
                await connection.__aexit__(None, None, None)

    def _options(self, config: TranscriptionConfig) -> dict[str, Any]:
        language = config.language.partition("-")[0].lower()
        options: dict[str, Any] = {
            "model": self.price.model,
            "encoding": "linear16",
            "sample_rate": RATE_HZ,
            "eager_eot_threshold": self._eager_threshold,
        }
        if self.price.model.endswith("-en"):
            if language != "en":
                raise invalid_field(
                    "config.language", f"{config.language!r} is not supported by {self.price.model}; send en-US"
                )
        else:
            options["language_hint"] = [language]
        if terms := key_terms(config.key_terms):
            options["keyterm"] = terms
        if config.turn_silence_ms is not None:
            options["eot_timeout_ms"] = min(max(config.turn_silence_ms, _TURN_TIMEOUT_MS[0]), _TURN_TIMEOUT_MS[1])
        return options


def key_terms(terms: Iterable[str]) -> list[str]:
    """Return the terms that Flux can use: names and phrases of at most four words, each once, at most 100."""
    return [t for t in dict.fromkeys(terms) if 0 < len(t.split()) <= KEY_TERM_WORDS_MAX][:KEY_TERMS_MAX]


class _Session:
    """`ports.TranscriptionSession` over one WebSocket."""

    def __init__(self, socket: AsyncV2SocketClient, config: TranscriptionConfig, timeout_s: float) -> None:
        self._socket = socket
        self._resampler = Resampler(config.sample_rate_hz, RATE_HZ)
        self._timeout_s = timeout_s
        self._ended = asyncio.Event()
        self._in_turn = False

    async def push_audio(self, pcm: bytes) -> None:
        samples = self._resampler.push(np.frombuffer(pcm, "<i2"))
        if len(samples):
            with _vendor_errors():
                async with asyncio.timeout(self._timeout_s):
                    await self._socket.send_media(samples.tobytes())

    async def flush(self) -> None:
        with _vendor_errors():
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send_force_end_turn()

    async def end_audio(self) -> None:
        """Request the open transcript; a socket that is closed already is no error here."""
        self._ended.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send_close_stream()
        except (WebSocketException, OSError, TimeoutError):
            return

    async def events(self) -> AsyncGenerator[TranscriptionEvent, None]:
        messages = aiter(cast("Any", self._socket))
        while True:
            message = await self._next(messages)
            if message is None:
                return
            if isinstance(message, ListenV2FatalError):
                raise engine_failed(PROVIDER, f"{message.code}")
            if isinstance(message, ListenV2TurnInfo):
                for event in self._turn_events(message):
                    yield event

    async def _next(self, messages: Any) -> object | None:
        """Return the next message; None at the end. After the end of the audio it must arrive within the timeout."""
        with _vendor_errors():
            waiting = asyncio.ensure_future(anext(messages, None))
            ending = asyncio.ensure_future(self._ended.wait())
            try:
                await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
                async with asyncio.timeout(self._timeout_s):
                    return cast("object | None", await waiting)
            except ConnectionClosedOK:
                return None
            finally:
                waiting.cancel()
                ending.cancel()

    def _turn_events(self, turn: ListenV2TurnInfo) -> list[TranscriptionEvent]:
        kind = _KINDS.get(str(turn.event))
        found: list[TranscriptionEvent] = []
        words = tuple(Word(w.word, w.start or 0.0, w.end or 0.0, w.confidence) for w in turn.words)
        if not self._in_turn and (kind is not None and turn.transcript):
            self._in_turn = True
            found.append(SpeechStarted(words[0].start_s if words and words[0].start_s else turn.audio_window_start))
        if kind is None or not turn.transcript:
            return found
        final = kind is TranscriptKind.FINAL
        confidence = sum(w.confidence for w in words) / len(words) if words else 0.0
        end_s = words[-1].end_s if words and words[-1].end_s else turn.audio_window_end
        found.append(Transcript(kind, turn.transcript, end_s, words if final else (), confidence))
        if final:
            self._in_turn = False
            found += [AudioConsumed(turn.audio_window_end), EndOfTurn(end_s)]
        return found


@contextmanager
def _vendor_errors() -> Generator[None, None, None]:
    try:
        yield
    except ApiError as error:
        raise _status_error(error.status_code) from error
    except ConnectionClosedOK:
        raise
    except (WebSocketException, OSError, TimeoutError) as error:
        raise engine_failed(PROVIDER, "the connection failed or timed out") from error


def _status_error(status: int | None) -> MeshError:
    if status in {401, 403}:
        return credentials_refused(PROVIDER)
    if status == 429:
        return vendor_busy(PROVIDER, 1)
    return engine_failed(PROVIDER, f"refused the connection with status {status}")
