"""Order of the steps of both streams: spend the limit, run the engine between two tasks, record each cost once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from hocket.chassis.errors import MeshError
from services.speech.events import (
    AudioChunk,
    AudioConsumed,
    AudioFormat,
    Flushed,
    StreamCommand,
    SynthesisUsage,
    TranscriptionEvent,
    TranscriptionUsage,
)
from services.speech.listening.audio_meter import LIMIT_BLOCK_S, AudioMeter
from services.speech.ports import (
    STT_LIMIT,
    TTS_LIMIT,
    Cost,
    CostOutcome,
    Ledger,
    Limits,
    SpeechToText,
    SynthesisConfig,
    TextToSpeech,
    TranscriptionConfig,
    TranscriptionSession,
)
from services.speech.speaking.audio_chunks import BYTES_PER_SAMPLE, placed
from services.speech.speaking.segmenter import Segment, Segmenter

SEGMENTS_WAITING_MAX = 64
# 20 s of audio in chunks of 50 ms: the engine may run this far ahead of a slow reader.
CHUNKS_WAITING_MAX = 400


class Speech:
    """Transcribes and synthesizes with one engine each."""

    def __init__(
        self, speech_to_text: SpeechToText, text_to_speech: TextToSpeech, limits: Limits, ledger: Ledger
    ) -> None:
        """Use these engines; spend `limits` before each call and record its cost in `ledger` after it."""
        self._speech_to_text = speech_to_text
        self._text_to_speech = text_to_speech
        self._limits = limits
        self._ledger = ledger

    async def transcribe(
        self, config: TranscriptionConfig, audio: AsyncIterator[bytes | StreamCommand]
    ) -> AsyncGenerator[TranscriptionEvent | TranscriptionUsage, None]:
        """Yield the engine's events for `audio`, with a usage after each utterance and at the end.

        Closing the generator stops the engine and records the audio so far as cancelled.

        Args:
            config: Rate, language, key terms and room of the audio.
            audio: PCM and flushes, as the caller sends them.

        Raises:
            ResourceExhausted: The tenant's limit is spent; the events of the audio before it have been yielded.
            InvalidArgument: `audio` broke the contract, or the engine does not support `config`.
            Unavailable: The engine failed or timed out.
        """
        meter = AudioMeter(self._speech_to_text.price, config.sample_rate_hz)
        outcome = CostOutcome.CANCELLED
        async with self._speech_to_text.open(config) as session:
            sending = asyncio.create_task(self._send_audio(session, audio, meter))
            try:
                async with aclosing(session.events()) as events:
                    async for event in events:
                        if isinstance(event, AudioConsumed):
                            yield self._record_audio(meter, config, CostOutcome.OK)
                        else:
                            yield event
                outcome = CostOutcome.OK
                if meter.unrecorded_ms:
                    yield self._record_audio(meter, config, outcome)
                # Raise an error of the audio only after all events of the audio before it.
                await sending
            except MeshError:
                outcome = CostOutcome.FAILED if outcome is CostOutcome.CANCELLED else outcome
                raise
            finally:
                await _cancelled(sending)
                if meter.unrecorded_ms:
                    self._record_audio(meter, config, outcome)

    async def _send_audio(
        self, session: TranscriptionSession, audio: AsyncIterator[bytes | StreamCommand], meter: AudioMeter
    ) -> None:
        try:
            async for item in audio:
                if isinstance(item, StreamCommand):
                    await session.flush()
                    continue
                samples = len(item) // BYTES_PER_SAMPLE
                if meter.needs_block(samples):
                    await self._limits.spend(STT_LIMIT, LIMIT_BLOCK_S)
                meter.received_samples += samples
                await session.push_audio(item)
        except asyncio.CancelledError:
            # The reader has left: with a full queue and no reader, end_audio would wait forever.
            raise
        except Exception:
            await session.end_audio()
            raise
        await session.end_audio()

    def _record_audio(self, meter: AudioMeter, config: TranscriptionConfig, outcome: CostOutcome) -> TranscriptionUsage:
        audio_ms, cost_micro_usd = meter.record()
        price = self._speech_to_text.price
        self._ledger.record(Cost(STT_LIMIT, price, audio_ms, cost_micro_usd, outcome, config.room))
        return TranscriptionUsage(audio_ms / 1000, cost_micro_usd, price.provider, price.model)

    async def synthesize(
        self, config: SynthesisConfig, texts: AsyncIterator[str | StreamCommand]
    ) -> AsyncGenerator[AudioFormat | AudioChunk | Flushed | SynthesisUsage, None]:
        """Yield the format, then audio from the first segment on, and one usage at the end, also after a cancel.

        Closing the generator stops the engine and records the running segment as cancelled.

        Args:
            config: Rate, language, voice and room of the audio.
            texts: Text as a model writes it, flushes, and at most one cancel.

        Raises:
            ResourceExhausted: The tenant's limit is spent; the audio before it has been yielded.
            InvalidArgument: `texts` broke the contract, or the engine has no such voice or language.
            Unavailable: The engine failed or timed out.
        """
        rate_hz = self._text_to_speech.output_rate_hz(config)
        yield AudioFormat(rate_hz)
        synthesis = _Synthesis(self._text_to_speech, self._limits, self._ledger, config, rate_hz)
        sent_bytes = 0
        async with aclosing(synthesis.chunks(texts)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, AudioChunk):
                    sent_bytes += len(chunk.pcm)
                yield chunk
        price = self._text_to_speech.price
        audio_s = sent_bytes / BYTES_PER_SAMPLE / rate_hz
        yield SynthesisUsage(synthesis.characters, audio_s, synthesis.cost_micro_usd, price.provider, price.model)


class _Synthesis:
    """One synthesis in two tasks: one cuts the text into segments, one runs the engine; the caller reads chunks."""

    def __init__(
        self, text_to_speech: TextToSpeech, limits: Limits, ledger: Ledger, config: SynthesisConfig, rate_hz: int
    ) -> None:
        self._text_to_speech = text_to_speech
        self._limits = limits
        self._ledger = ledger
        self._config = config
        self._rate_hz = rate_hz
        # None ends either queue.
        self._segments: asyncio.Queue[Segment | Flushed | None] = asyncio.Queue(SEGMENTS_WAITING_MAX)
        self._chunks: asyncio.Queue[AudioChunk | Flushed | None] = asyncio.Queue(CHUNKS_WAITING_MAX)
        self._made_samples = 0
        self.characters = 0
        self.cost_micro_usd = 0

    async def chunks(self, texts: AsyncIterator[str | StreamCommand]) -> AsyncGenerator[AudioChunk | Flushed, None]:
        """Yield audio and flush marks in order until the text ends or is cancelled."""
        speaking = asyncio.create_task(self._run_engine())
        segmenting = asyncio.create_task(self._cut_text(texts, speaking))
        try:
            while (chunk := await self._chunks.get()) is not None:
                yield chunk
            if speaking.done() and not speaking.cancelled():
                # An error of the engine or the limiter is raised first: the other task may still wait for text.
                await speaking
            await segmenting
        finally:
            await _cancelled(segmenting)
            await _cancelled(speaking)

    async def _cut_text(self, texts: AsyncIterator[str | StreamCommand], speaking: asyncio.Task[None]) -> None:
        segmenter = Segmenter()
        try:
            async for item in texts:
                if item is StreamCommand.CANCEL:
                    self._stop(speaking)
                    return
                for segment in segmenter.flush() if isinstance(item, StreamCommand) else segmenter.write(item):
                    await self._segments.put(segment)
                if item is StreamCommand.FLUSH:
                    await self._segments.put(Flushed())
            for segment in segmenter.flush():
                await self._segments.put(segment)
            await self._segments.put(None)
        except Exception:
            self._stop(speaking)
            raise

    def _stop(self, speaking: asyncio.Task[None]) -> None:
        """Drop the chunks that were not read, and end the stream."""
        while not self._chunks.empty():
            self._chunks.get_nowait()
        if not speaking.cancel():
            # The task had ended before, and its end mark was among the dropped chunks.
            self._chunks.put_nowait(None)

    async def _run_engine(self) -> None:
        try:
            await self._synthesize_segments()
        except asyncio.CancelledError:
            # The queue is full only where the reader has left: _stop empties it before it cancels.
            if not self._chunks.full():
                self._chunks.put_nowait(None)
            raise
        except Exception:
            await self._chunks.put(None)
            raise
        await self._chunks.put(None)

    async def _synthesize_segments(self) -> None:
        while (item := await self._segments.get()) is not None:
            if isinstance(item, Flushed):
                await self._chunks.put(item)
            elif item.spoken:
                await self._limits.spend(TTS_LIMIT, len(item.spoken))
                await self._synthesize(item)

    async def _synthesize(self, segment: Segment) -> None:
        outcome = CostOutcome.CANCELLED
        start_s = self._made_samples / self._rate_hz
        try:
            async with aclosing(self._text_to_speech.synthesize(segment, self._config)) as chunks:
                async for chunk in chunks:
                    self._made_samples += len(chunk.pcm) // BYTES_PER_SAMPLE
                    for part in placed(chunk, start_s, self._rate_hz):
                        await self._chunks.put(part)
            outcome = CostOutcome.OK
        except Exception:
            outcome = CostOutcome.FAILED
            raise
        finally:
            self._record(len(segment.spoken), outcome)

    def _record(self, characters: int, outcome: CostOutcome) -> None:
        price = self._text_to_speech.price
        before = price.cost_micro_usd(self.characters)
        self.characters += characters
        cost_micro_usd = price.cost_micro_usd(self.characters) - before
        self.cost_micro_usd += cost_micro_usd
        self._ledger.record(Cost(TTS_LIMIT, price, characters, cost_micro_usd, outcome, self._config.room))


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; an error of it has been raised where it matters."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
