"""ports.Listener out of embedded parts: loudness decides about turns, pocketsphinx about words.

Decoding runs on one worker thread: the library holds the interpreter's lock, so more threads would win nothing. A step
is 20 ms of audio and takes about a millisecond.
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
from services.speech.adapters.pocketsphinx_recogniser import (
    RATE_HZ,
    PocketsphinxDecoder,
    PocketsphinxModels,
    Pronounce,
)
from services.speech.endpointing import FRAME_MS, Endpointer, EndpointingRules, Mark
from services.speech.errors import engine_failed, overloaded
from services.speech.events import EndOfTurn, Heard, ListeningEvent, SpeechStarted, Transcript, TranscriptKind, Word
from services.speech.ports import ListeningConfig, ListeningSession
from services.speech.preflight import Preflight, PreflightRules
from services.speech.prices import MINUTE_MS, free
from services.speech.resampling import Resampler, Samples

_FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
_STEP_FRAMES = 2
# What is decoded before the onset: the first consonant is quieter than what makes an onset.
_PREROLL_FRAMES = 25
_INTERIM_MS = 200
_PACKETS_WAITING_MAX = 100
_SILENT_DBFS = -90.0

P = ParamSpec("P")
T = TypeVar("T")


class EmbeddedListener:
    """Listens with pocketsphinx, to English alone."""

    def __init__(
        self, pronounce: Pronounce, endpointing: EndpointingRules, preflight: PreflightRules, *, streams_max: int
    ) -> None:
        """Hear `streams_max` streams at once; `pronounce` says how words sound that no dictionary has."""
        self.price = free("embedded", "pocketsphinx-en-us", per=MINUTE_MS)
        self._models = PocketsphinxModels(pronounce)
        self._endpointing = endpointing
        self._preflight = preflight
        self._streams_max = streams_max
        self._streams = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx")

    async def __aenter__(self) -> Self:
        """Read what every stream needs."""
        await self.run(self._models.load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker and remove its files."""
        await asyncio.to_thread(self._worker.shutdown)
        self._models.close()

    @asynccontextmanager
    async def open(self, config: ListeningConfig) -> AsyncGenerator[ListeningSession, None]:
        """Listen to one stream."""
        if not config.language.lower().startswith("en"):
            raise invalid_field("config.language", 'the embedded recogniser knows English alone; send "en-US"')
        if self._streams >= self._streams_max:
            raise overloaded(self._streams_max)
        self._streams += 1
        taking = self._worker.submit(self._models.take, config.key_terms)
        try:
            decoder = await _result(taking)
            rules = self._endpointing
            if config.turn_silence_ms is not None:
                rules = rules.ending_at(config.turn_silence_ms)
            yield _Session(config, Endpointer(rules), self._preflight, decoder, self)
        finally:
            self._streams -= 1
            # Queued behind a step that may still run, as may the taking itself; nobody waits for it.
            self._worker.submit(self._give_back, taking)

    def _give_back(self, taking: Future[PocketsphinxDecoder]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            self._models.give_back(taking.result())

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call` on the worker thread."""
        return await _result(self._worker.submit(call, *args, **kwargs))


class _Session:
    """ports.ListeningSession."""

    def __init__(
        self,
        config: ListeningConfig,
        endpointer: Endpointer,
        preflight: PreflightRules,
        decoder: PocketsphinxDecoder,
        listener: EmbeddedListener,
    ) -> None:
        self._endpointer = endpointer
        self._preflight_rules = preflight
        self._decoder = decoder
        self._listener = listener
        self._resampler = Resampler(config.sample_rate_hz, RATE_HZ)
        self._packets: asyncio.Queue[bytes | bool | None] = asyncio.Queue(_PACKETS_WAITING_MAX)
        self._rest: Samples = np.zeros(0, np.int16)
        self._recent: deque[bytes] = deque(maxlen=_PREROLL_FRAMES)
        self._undecoded: list[bytes] = []
        self._utterance_ms = 0
        self._announced = False
        self._begin()

    def _begin(self) -> None:
        self._preflight = Preflight(self._preflight_rules, self._decoder.phrases)
        self._guess: tuple[Word, ...] = ()
        self._interim = ""
        self._interim_at_ms = 0

    async def hear(self, pcm: bytes) -> None:
        await self._packets.put(pcm)

    async def flush(self) -> None:
        await self._packets.put(True)  # noqa: FBT003 - a mark in the queue, not an argument

    async def end(self) -> None:
        await self._packets.put(None)

    async def events(self) -> AsyncGenerator[ListeningEvent, None]:
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

    async def _take(self, samples: Samples, *, resampled: bool = False) -> AsyncGenerator[ListeningEvent, None]:
        fresh = samples if resampled else self._resampler.push(samples)
        audio = np.concatenate([self._rest, fresh])
        whole = len(audio) // _FRAME_SAMPLES
        frames = audio[: whole * _FRAME_SAMPLES].reshape(whole, _FRAME_SAMPLES)
        self._rest = audio[whole * _FRAME_SAMPLES :]
        for frame, level_dbfs in zip(frames, _levels_dbfs(frames), strict=True):
            async for event in self._hear_frame(frame.tobytes(), level_dbfs):
                yield event

    async def _hear_frame(self, frame: bytes, level_dbfs: float) -> AsyncGenerator[ListeningEvent, None]:
        self._recent.append(frame)
        mark = self._endpointer.hear(level_dbfs)
        if mark is Mark.ONSET:
            await self._listener.run(self._decoder.begin)
            self._begin()
            self._undecoded = list(self._recent)
            self._utterance_ms = self._endpointer.position_ms - FRAME_MS * len(self._undecoded)
            if not self._announced:
                self._announced = True
                yield SpeechStarted(self._endpointer.onset_ms / 1000)
        elif mark is Mark.UTTERANCE_END:
            self._undecoded.append(frame)
            async for event in self._finish():
                yield event
        elif mark is Mark.TURN_END:
            yield self._end_turn()
        elif self._endpointer.in_utterance:
            self._undecoded.append(frame)
        if self._endpointer.in_utterance and len(self._undecoded) >= _STEP_FRAMES:
            guess = await self._step()
            if guess is not None:
                yield guess

    async def _step(self) -> Transcript | None:
        """Decode what is waiting; a preflight when it is credible, an interim now and then."""
        text = await self._decode()
        ends = self._endpointer
        if self._preflight.is_credible(text, ends.silence_ms, ends.speech_end_ms):
            self._guess = self._placed(await self._listener.run(self._decoder.words))
            return Transcript(TranscriptKind.PREFLIGHT, text, ends.speech_end_ms / 1000)
        if text and text != self._interim and ends.position_ms - self._interim_at_ms >= _INTERIM_MS:
            self._interim, self._interim_at_ms = text, ends.position_ms
            return Transcript(TranscriptKind.INTERIM, text, ends.position_ms / 1000)
        return None

    async def _decode(self) -> str:
        pcm, self._undecoded = b"".join(self._undecoded), []
        return await self._listener.run(self._decoder.hear, pcm)

    async def _finish(self) -> AsyncGenerator[ListeningEvent, None]:
        """The final transcript of the utterance, and the turn's end where it has come too."""
        ends = self._endpointer
        text, words = self._preflight.stands(ends.speech_end_ms), self._guess
        if text is None:
            if self._undecoded:
                await self._decode()
            text = await self._listener.run(self._decoder.finish)
            words = self._placed(await self._listener.run(self._decoder.words))
        if text:
            yield Transcript(TranscriptKind.FINAL, text, ends.speech_end_ms / 1000, words)
        yield Heard(ends.position_ms / 1000)
        if ends.turn_over:
            ends.end_turn()
            yield self._end_turn()

    def _end_turn(self) -> EndOfTurn:
        self._announced = False
        return EndOfTurn(self._endpointer.speech_end_ms / 1000)

    async def _close_turn(self) -> AsyncGenerator[ListeningEvent, None]:
        """End utterance and turn here, because the caller said so."""
        in_utterance, in_turn = self._endpointer.in_utterance, self._endpointer.in_turn
        self._endpointer.end_turn()
        if in_utterance:
            async for event in self._finish():
                yield event
        if in_turn:
            yield self._end_turn()

    def _placed(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        by_s = self._utterance_ms / 1000
        return tuple(Word(w.text, w.start_s + by_s, w.end_s + by_s, w.confidence) for w in words)


async def _result(of: Future[T]) -> T:
    try:
        return await asyncio.wrap_future(of)
    except RuntimeError as error:
        raise engine_failed("embedded", "the recogniser failed") from error


def _levels_dbfs(frames: Samples) -> list[float]:
    """Loudness of each 10 ms frame, (frames, samples) -> dB below full scale, without the direct current."""
    power = frames.astype(np.float32).var(axis=1) if len(frames) else np.zeros(0, np.float32)
    decibels = 10 * np.log10(np.maximum(power, 1e-9) / 32768**2)
    return [max(_SILENT_DBFS, float(level)) for level in decibels]
