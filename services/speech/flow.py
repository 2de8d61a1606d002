"""The order of things in a stream: limits before work, engine between two tasks, one booking for each call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from hocket.chassis.errors import MeshError
from services.speech.events import (
    Flushed,
    Format,
    Heard,
    ListeningEvent,
    ListeningUsage,
    SpeakingUsage,
    Voiced,
    Word,
)
from services.speech.ports import (
    STT_LIMIT,
    TTS_LIMIT,
    Cost,
    CostOutcome,
    Ledger,
    Limits,
    Listener,
    ListeningConfig,
    ListeningSession,
    SpeakingConfig,
    Voice,
)
from services.speech.prices import PriceRow
from services.speech.segments import Segment, Segmenter

# Audio is asked for in advance, so that a spent limit stops a stream without a question for each packet.
LIMIT_BLOCK_S = 10
SEGMENTS_WAITING_MAX = 64
PIECE_MS_MAX = 50
PIECES_WAITING_MAX = 400


class Command(Enum):
    """What a caller may ask of a stream beside data."""

    FLUSH = "flush"
    CANCEL = "cancel"


class Speech:
    """Listens and speaks with one engine each."""

    def __init__(self, listener: Listener, voice: Voice, limits: Limits, ledger: Ledger) -> None:
        """Work with these engines, ask `limits` before and tell `ledger` after."""
        self._listener = listener
        self._voice = voice
        self._limits = limits
        self._ledger = ledger

    async def listen(
        self, config: ListeningConfig, audio: AsyncIterator[bytes | Command]
    ) -> AsyncGenerator[ListeningEvent | ListeningUsage, None]:
        """What is heard in `audio`. A usage follows each utterance, and ends the stream."""
        tally = _ListeningTally(self._listener.price, config.sample_rate_hz)
        outcome = CostOutcome.CANCELLED
        async with self._listener.open(config) as session:
            hearing = asyncio.create_task(self._hear(session, audio, tally))
            try:
                async with aclosing(session.events()) as events:
                    async for event in events:
                        if isinstance(event, Heard):
                            yield self._book_heard(tally, config, CostOutcome.OK)
                        else:
                            yield event
                outcome = CostOutcome.OK
                if tally.unbooked_ms:
                    yield self._book_heard(tally, config, outcome)
                # What was wrong with the audio, once all that was heard before is out.
                await hearing
            except MeshError:
                outcome = CostOutcome.FAILED if outcome is CostOutcome.CANCELLED else outcome
                raise
            finally:
                await _ended(hearing)
                if tally.unbooked_ms:
                    self._book_heard(tally, config, outcome)

    async def _hear(
        self, session: ListeningSession, audio: AsyncIterator[bytes | Command], tally: _ListeningTally
    ) -> None:
        try:
            async for item in audio:
                if isinstance(item, Command):
                    await session.flush()
                    continue
                if tally.must_ask(len(item) // 2):
                    await self._limits.spend(STT_LIMIT, LIMIT_BLOCK_S)
                tally.heard_samples += len(item) // 2
                await session.hear(item)
        except asyncio.CancelledError:
            # Nobody takes events any more: an engine that is behind would never have room for the end.
            raise
        except Exception:
            await session.end()
            raise
        # However the audio ended, the engine's events must end too.
        await session.end()

    def _book_heard(self, tally: _ListeningTally, config: ListeningConfig, outcome: CostOutcome) -> ListeningUsage:
        audio_ms, cost_micro_usd = tally.book()
        price = self._listener.price
        self._ledger.record(Cost(STT_LIMIT, price, audio_ms, cost_micro_usd, outcome, config.room))
        return ListeningUsage(audio_ms / 1000, cost_micro_usd, price.provider, price.model)

    async def speak(
        self, config: SpeakingConfig, texts: AsyncIterator[str | Command]
    ) -> AsyncGenerator[Format | Voiced | Flushed | SpeakingUsage, None]:
        """The voice of `texts`, from the first segment on; ends with one usage, also after a cancel."""
        rate_hz = self._voice.check(config)
        yield Format(rate_hz)
        stream = _SpeakingStream(self._voice, self._limits, self._ledger, config, rate_hz)
        given_bytes = 0
        async with aclosing(stream.pieces(texts)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Voiced):
                    given_bytes += len(piece.pcm)
                yield piece
        price = self._voice.price
        audio_s = given_bytes / 2 / rate_hz
        yield SpeakingUsage(stream.characters, audio_s, stream.cost_micro_usd, price.provider, price.model)


@dataclass(slots=True)
class _ListeningTally:
    """Audio given to the engine, asked of the limits, and booked."""

    price: PriceRow
    sample_rate_hz: int
    heard_samples: int = 0
    asked_s: int = 0
    booked_ms: int = 0
    booked_micro_usd: int = 0

    @property
    def unbooked_ms(self) -> int:
        return self.heard_samples * 1000 // self.sample_rate_hz - self.booked_ms

    def must_ask(self, samples: int) -> bool:
        """Whether `samples` more exceed what was asked for; counts the next block as asked."""
        if self.heard_samples + samples <= self.asked_s * self.sample_rate_hz:
            return False
        self.asked_s += LIMIT_BLOCK_S
        return True

    def book(self) -> tuple[int, int]:
        """Milliseconds and price since the last booking; slices add up to the price of the whole."""
        audio_ms = self.unbooked_ms
        self.booked_ms += audio_ms
        slice_micro_usd = self.price.cost_micro_usd(self.booked_ms) - self.booked_micro_usd
        self.booked_micro_usd += slice_micro_usd
        return audio_ms, slice_micro_usd


class _SpeakingStream:
    """One task reads text and cuts it, one has the segments spoken, and the caller takes the pieces."""

    def __init__(self, voice: Voice, limits: Limits, ledger: Ledger, config: SpeakingConfig, rate_hz: int) -> None:
        self._voice = voice
        self._limits = limits
        self._ledger = ledger
        self._config = config
        self._rate_hz = rate_hz
        self._segments: asyncio.Queue[Segment | Flushed | None] = asyncio.Queue(SEGMENTS_WAITING_MAX)
        self._pieces: asyncio.Queue[Voiced | Flushed | None] = asyncio.Queue(PIECES_WAITING_MAX)
        self._made_samples = 0
        self.characters = 0
        self.cost_micro_usd = 0

    async def pieces(self, texts: AsyncIterator[str | Command]) -> AsyncGenerator[Voiced | Flushed, None]:
        """Voice and flush marks in order, until the text ends or is cancelled."""
        speaking = asyncio.create_task(self._speak_all())
        reading = asyncio.create_task(self._read(texts, speaking))
        try:
            while (piece := await self._pieces.get()) is not None:
                yield piece
            if speaking.done() and not speaking.cancelled():
                # The engine's or the limit's error comes first: the reader may still wait for text.
                await speaking
            await reading
        finally:
            await _ended(reading)
            await _ended(speaking)

    async def _read(self, texts: AsyncIterator[str | Command], speaking: asyncio.Task[None]) -> None:
        segmenter = Segmenter()
        try:
            async for item in texts:
                if item is Command.CANCEL:
                    self._stop(speaking)
                    return
                for segment in segmenter.flush() if isinstance(item, Command) else segmenter.write(item):
                    await self._segments.put(segment)
                if item is Command.FLUSH:
                    await self._segments.put(Flushed())
            for segment in segmenter.flush():
                await self._segments.put(segment)
            await self._segments.put(None)
        except Exception:
            self._stop(speaking)
            raise

    def _stop(self, speaking: asyncio.Task[None]) -> None:
        """Drop what was not handed out, and end."""
        while not self._pieces.empty():
            self._pieces.get_nowait()
        if not speaking.cancel():
            # It had ended, and its last word was among what was dropped.
            self._pieces.put_nowait(None)

    async def _speak_all(self) -> None:
        try:
            await self._speak_segments()
        except asyncio.CancelledError:
            # Full only where nobody reads any more: whoever stops the voice for a reader has emptied it.
            if not self._pieces.full():
                self._pieces.put_nowait(None)
            raise
        except Exception:
            await self._pieces.put(None)
            raise
        await self._pieces.put(None)

    async def _speak_segments(self) -> None:
        while (item := await self._segments.get()) is not None:
            if isinstance(item, Flushed):
                await self._pieces.put(item)
            elif item.spoken:
                await self._limits.spend(TTS_LIMIT, len(item.spoken))
                await self._speak_one(item)

    async def _speak_one(self, segment: Segment) -> None:
        outcome = CostOutcome.CANCELLED
        start_s = self._made_samples / self._rate_hz
        try:
            async with aclosing(self._voice.speak(segment, self._config)) as pieces:
                async for piece in pieces:
                    self._made_samples += len(piece.pcm) // 2
                    for part in _parts(_moved(piece, start_s), self._rate_hz * PIECE_MS_MAX // 1000 * 2):
                        await self._pieces.put(part)
            outcome = CostOutcome.OK
        except Exception:
            outcome = CostOutcome.FAILED
            raise
        finally:
            self._book(len(segment.spoken), outcome)

    def _book(self, characters: int, outcome: CostOutcome) -> None:
        price = self._voice.price
        before = price.cost_micro_usd(self.characters)
        self.characters += characters
        cost_micro_usd = price.cost_micro_usd(self.characters) - before
        self.cost_micro_usd += cost_micro_usd
        self._ledger.record(Cost(TTS_LIMIT, price, characters, cost_micro_usd, outcome, self._config.room))


def _moved(piece: Voiced, by_s: float) -> Voiced:
    if not piece.words:
        return piece
    words = tuple(Word(w.text, w.start_s + by_s, w.end_s + by_s, w.confidence) for w in piece.words)
    return Voiced(piece.pcm, words)


def _parts(piece: Voiced, bytes_max: int) -> list[Voiced]:
    """Cut a piece, words with the first part: who plays them goes by their times."""
    # An engine may name its last word after its last sound.
    starts = range(0, len(piece.pcm), bytes_max) if piece.pcm else range(len(piece.words[:1]))
    return [Voiced(piece.pcm[at : at + bytes_max], () if at else piece.words) for at in starts]


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over; its error, if any, was raised where it mattered."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
