"""Both streams with engines made of queues: full queues, slow readers, spent limits."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from hocket.chassis.errors import ResourceExhausted
from services.speech import flow
from services.speech.events import AudioChunk, SpeechStarted
from services.speech.flow import Speech
from services.speech.ports import SynthesisConfig, TranscriptionConfig
from services.speech.prices import free
from tests.fakes.waiting import DEADLINE_S

PRICE = free("fake", "fake", per=1)


class Accounts:
    """ports.Limits and ports.Ledger."""

    def __init__(self, spends_max: int = 1_000_000) -> None:
        self.left = spends_max
        self.costs = []

    async def spend(self, limit, cost) -> None:
        self.left -= 1
        if self.left < 0:
            raise ResourceExhausted("spent")

    def record(self, cost) -> None:
        self.costs.append(cost)


class QueueSpeechToText:
    """An engine with a queue of one packet, which it never reads; it reports two onsets and blocks."""

    price = PRICE

    @asynccontextmanager
    async def open(self, config):
        yield self

    def __init__(self) -> None:
        self.packets = asyncio.Queue(1)
        self.full = asyncio.Event()

    async def push_audio(self, pcm: bytes) -> None:
        if self.packets.full():
            self.full.set()
        await self.packets.put(pcm)

    async def end_audio(self) -> None:
        await self.packets.put(None)

    async def events(self):
        yield SpeechStarted(0.0)
        await self.full.wait()
        yield SpeechStarted(1.0)
        await asyncio.Event().wait()


class CountingTextToSpeech:
    """Yields numbered chunks as fast as they are read."""

    price = PRICE

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks

    def output_rate_hz(self, config) -> int:
        return 16_000

    async def synthesize(self, segment, config):
        for number in range(self.chunks):
            yield AudioChunk(number.to_bytes(2, "little"))


async def forever(item):
    while True:
        yield item


async def written(*texts: str):
    for text in texts:
        yield text


async def test_closing_a_transcription_ends_while_the_engine_queue_is_full():
    speech = Speech(QueueSpeechToText(), CountingTextToSpeech(0), Accounts(), Accounts())
    async with asyncio.timeout(DEADLINE_S):
        async with aclosing(speech.transcribe(TranscriptionConfig(16_000, "en"), forever(bytes(320)))) as events:
            assert await anext(events) == SpeechStarted(0.0)
            assert await anext(events) == SpeechStarted(1.0)


async def spoken(speech: Speech, *texts: str) -> list[bytes]:
    received: list[bytes] = []
    async with aclosing(speech.synthesize(SynthesisConfig(16_000, "en"), written(*texts))) as events:
        async for event in events:
            if not received:
                # A slow reader: the engine fills the queue meanwhile.
                for _ in range(3 * flow.CHUNKS_WAITING_MAX):
                    await asyncio.sleep(0)
            if isinstance(event, AudioChunk):
                received.append(event.pcm)
    return received


@pytest.mark.parametrize("over", [-1, 0, 1, 2])
async def test_a_slow_reader_receives_every_chunk(over):
    chunks = flow.CHUNKS_WAITING_MAX + over
    received = await spoken(Speech(QueueSpeechToText(), CountingTextToSpeech(chunks), Accounts(), Accounts()), "Hello.")
    assert received == [number.to_bytes(2, "little") for number in range(chunks)]


@pytest.mark.parametrize("over", [0, 1])
async def test_a_spent_limit_is_raised_after_every_chunk_before_it(over):
    chunks = flow.CHUNKS_WAITING_MAX + over
    speech = Speech(QueueSpeechToText(), CountingTextToSpeech(chunks), Accounts(spends_max=1), Accounts())
    received: list[bytes] = []
    with pytest.raises(ResourceExhausted):
        async with aclosing(speech.synthesize(SynthesisConfig(16_000, "en"), written("One. Two. "))) as events:
            async for event in events:
                for _ in range(0 if received else 3 * flow.CHUNKS_WAITING_MAX):
                    await asyncio.sleep(0)
                received += [event.pcm] if isinstance(event, AudioChunk) else []
    assert len(received) == chunks
