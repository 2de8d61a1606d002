"""Embedded speech to text: endpointing by loudness, words by pocketsphinx.

Decoding runs on one worker thread: the library holds the interpreter's lock, so that more threads gain nothing. One
step is 20 ms of audio and takes about a millisecond.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import numpy as np

from hocket.chassis.errors import invalid_field
from services.speech.adapters.embedded.pocketsphinx import (
    RATE_HZ,
    PocketsphinxDecoder,
    PocketsphinxModels,
    Pronounce,
)
from services.speech.errors import engine_failed, overloaded
from services.speech.events import (
    AudioConsumed,
    EndOfTurn,
    SpeechStarted,
    Transcript,
    TranscriptionEvent,
    TranscriptKind,
    Word,
    shifted,
)
from services.speech.listening.endpointing import FRAME_MS, Endpointer, EndpointEvent, EndpointingRules
from services.speech.listening.preflight import Preflight, PreflightRules
from services.speech.ports import TranscriptionConfig, TranscriptionSession
from services.speech.prices import MINUTE_MS, free
from services.speech.resampling import Resampler, Samples

_FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
_STEP_FRAMES = 2
# Audio decoded before the onset: a first consonant is too quiet to start an utterance.
_PREROLL_FRAMES = 25
_INTERIM_MS = 200
_PACKETS_WAITING_MAX = 100
_SILENT_DBFS = -90.0

P = ParamSpec("P")
T = TypeVar("T")


class EmbeddedSpeechToText:
    """`ports.SpeechToText` with pocketsphinx; English only."""

    def __init__(
        self, pronounce: Pronounce, endpointing: EndpointingRules, preflight: PreflightRules, *, streams_max: int
    ) -> None:
        """Set the rules of every stream; models load on first use.

        Args:
            pronounce: Returns the IPA of words that the dictionary lacks.
            endpointing: Silences that end utterances and turns.
            preflight: When an early transcript is sent.
            streams_max: Streams transcribed at once; further ones are refused with OVERLOADED.
        """
        self.price = free("embedded", "pocketsphinx-en-us", per=MINUTE_MS)
        self._models = PocketsphinxModels(pronounce)
        self._endpointing = endpointing
        self._preflight = preflight
        self._streams_max = streams_max
        self._streams = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx")

    async def __aenter__(self) -> Self:
        """Load the pronouncing dictionary."""
        await self.run(self._models.load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the worker thread and remove its files."""
        await asyncio.to_thread(self._worker.shutdown)
        self._models.close()

    @asynccontextmanager
    async def open(self, config: TranscriptionConfig) -> AsyncGenerator[TranscriptionSession, None]:
        """Take a decoder for the key terms of `config`; leaving the block returns it."""
        if not config.language.lower().startswith("en"):
            raise invalid_field(
                "config.language", f'{config.language!r} is not supported by the embedded recogniser; send "en-US"'
            )
        if self._streams >= self._streams_max:
            raise overloaded(self._streams_max)
        self._streams += 1
        taking = self._worker.submit(self._models.take, config.key_terms)
        try:
            decoder = await _result(taking)
            rules = self._endpointing
            if config.turn_silence_ms is not None:
                rules = rules.with_turn_silence(config.turn_silence_ms)
            yield _Session(config, Endpointer(rules), self._preflight, decoder, self)
        finally:
            self._streams -= 1
            # The worker runs this after a step or a take that may still run; the caller does not wait.
            self._worker.submit(self._give_back, taking)

    def _give_back(self, taking: Future[PocketsphinxDecoder]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            self._models.give_back(taking.result())

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` on the worker thread."""
        return await _result(self._worker.submit(call, *args, **kwargs))


class _Session:
    """`ports.TranscriptionSession` over one decoder and one endpointer."""

    def __init__(
        self,
        config: TranscriptionConfig,
        endpointer: Endpointer,
        preflight: PreflightRules,
        decoder: PocketsphinxDecoder,
        engine: EmbeddedSpeechToText,
    ) -> None:
        self._endpointer = endpointer
        self._preflight_rules = preflight
        self._decoder = decoder
        self._engine = engine
        self._resampler = Resampler(config.sample_rate_hz, RATE_HZ)
        self._packets: asyncio.Queue[bytes | bool | None] = asyncio.Queue(_PACKETS_WAITING_MAX)
        self._partial_frame: Samples = np.zeros(0, np.int16)
        self._recent: deque[bytes] = deque(maxlen=_PREROLL_FRAMES)
        self._undecoded: list[bytes] = []
        self._utterance_ms = 0
        self._turn_announced = False
        self._begin()

    def _begin(self) -> None:
        self._preflight = Preflight(self._preflight_rules, self._decoder.phrases)
        self._preflight_words: tuple[Word, ...] = ()
        self._interim = ""
        self._interim_at_ms = 0

    async def push_audio(self, pcm: bytes) -> None:
        await self._packets.put(pcm)

    async def flush(self) -> None:
        await self._packets.put(True)  # noqa: FBT003 - a marker in the queue, not an argument

    async def end_audio(self) -> None:
        await self._packets.put(None)

    async def events(self) -> AsyncGenerator[TranscriptionEvent, None]:
        while (packet := await self._packets.get()) is not None:
            if isinstance(packet, bytes):
                async for event in self._take(np.frombuffer(packet, "<i2")):
                    yield event
            else:
                async for event in self._close_turn():
                    yield event
        async for event in self._take(self._resampler.flush(), resampled=True):
            yield event
        async for event in self._close_turn():
            yield event

    async def _take(self, samples: Samples, *, resampled: bool = False) -> AsyncGenerator[TranscriptionEvent, None]:
        fresh = samples if resampled else self._resampler.push(samples)
        audio = np.concatenate([self._partial_frame, fresh])
        whole = len(audio) // _FRAME_SAMPLES
        frames = audio[: whole * _FRAME_SAMPLES].reshape(whole, _FRAME_SAMPLES)
        self._partial_frame = audio[whole * _FRAME_SAMPLES :]
        for frame, level_dbfs in zip(frames, _levels_dbfs(frames), strict=True):
            async for event in self._push_frame(frame.tobytes(), level_dbfs):
                yield event

    async def _push_frame(self, frame: bytes, level_dbfs: float) -> AsyncGenerator[TranscriptionEvent, None]:
        self._recent.append(frame)
        endpoint = self._endpointer.push_frame(level_dbfs)
        if endpoint is EndpointEvent.ONSET:
            await self._engine.run(self._decoder.begin)
            self._begin()
            self._undecoded = list(self._recent)
            self._utterance_ms = self._endpointer.position_ms - FRAME_MS * len(self._undecoded)
            if not self._turn_announced:
                self._turn_announced = True
                yield SpeechStarted(self._endpointer.onset_ms / 1000)
        elif endpoint is EndpointEvent.UTTERANCE_END:
            self._undecoded.append(frame)
            async for event in self._finish():
                yield event
        elif endpoint is EndpointEvent.TURN_END:
            yield self._end_turn()
        elif self._endpointer.in_utterance:
            self._undecoded.append(frame)
        if self._endpointer.in_utterance and len(self._undecoded) >= _STEP_FRAMES:
            transcript = await self._step()
            if transcript is not None:
                yield transcript

    async def _step(self) -> Transcript | None:
        """Decode the waiting frames; return a preflight where the rules say so, else an interim every 200 ms."""
        text = await self._decode()
        endpointer = self._endpointer
        if self._preflight.should_send(text, endpointer.silence_ms, endpointer.speech_end_ms):
            self._preflight_words = self._positioned(await self._engine.run(self._decoder.words))
            return Transcript(TranscriptKind.PREFLIGHT, text, endpointer.speech_end_ms / 1000)
        if text and text != self._interim and endpointer.position_ms - self._interim_at_ms >= _INTERIM_MS:
            self._interim, self._interim_at_ms = text, endpointer.position_ms
            return Transcript(TranscriptKind.INTERIM, text, endpointer.position_ms / 1000)
        return None

    async def _decode(self) -> str:
        pcm, self._undecoded = b"".join(self._undecoded), []
        return await self._engine.run(self._decoder.push_audio, pcm)

    async def _finish(self) -> AsyncGenerator[TranscriptionEvent, None]:
        """Yield the final transcript, the consumed audio, and the end of the turn where that is reached too."""
        endpointer = self._endpointer
        text, words = self._preflight.confirmed_text(endpointer.speech_end_ms), self._preflight_words
        if text is None:
            if self._undecoded:
                await self._decode()
            text = await self._engine.run(self._decoder.finish)
            words = self._positioned(await self._engine.run(self._decoder.words))
        if text:
            yield Transcript(TranscriptKind.FINAL, text, endpointer.speech_end_ms / 1000, words)
        yield AudioConsumed(endpointer.position_ms / 1000)
        if endpointer.turn_is_over:
            endpointer.end_turn()
            yield self._end_turn()

    def _end_turn(self) -> EndOfTurn:
        self._turn_announced = False
        return EndOfTurn(self._endpointer.speech_end_ms / 1000)

    async def _close_turn(self) -> AsyncGenerator[TranscriptionEvent, None]:
        """End utterance and turn at this position: the caller flushed, or the audio is complete."""
        in_utterance, in_turn = self._endpointer.in_utterance, self._endpointer.in_turn
        self._endpointer.end_turn()
        if in_utterance:
            async for event in self._finish():
                yield event
        if in_turn:
            yield self._end_turn()

    def _positioned(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        return shifted(words, self._utterance_ms / 1000)


async def _result(of: Future[T]) -> T:
    try:
        return await asyncio.wrap_future(of)
    except RuntimeError as error:
        raise engine_failed("embedded", "pocketsphinx failed") from error


def _levels_dbfs(frames: Samples) -> list[float]:
    """Return the RMS of each frame in dB below full scale, without its DC offset; shape (frames, samples)."""
    power = frames.astype(np.float32).var(axis=1) if len(frames) else np.zeros(0, np.float32)
    decibels = 10 * np.log10(np.maximum(power, 1e-9) / 32768**2)
    return [max(_SILENT_DBFS, float(level)) for level in decibels]
