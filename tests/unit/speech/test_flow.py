"""The order of things in a stream, with engines made of queues: nothing is lost, and nothing waits for nobody."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from hocket.chassis.errors import ResourceExhausted
from services.speech import flow
from services.speech.events import SpeechStarted, Voiced
from services.speech.flow import Speech
from services.speech.ports import ListeningConfig, SpeakingConfig
from services.speech.prices import free
from tests.fakes.waiting import DEADLINE_S

PRICE = free("fake", "fake", per=1)


class Book:
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


class QueueListener:
    """An engine with room for one packet, that says once that somebody speaks and takes nothing more."""

    price = PRICE

    @asynccontextmanager
    async def open(self, config):
        yield self

    def __init__(self) -> None:
        self.packets = asyncio.Queue(1)
        self.full = asyncio.Event()

    async def hear(self, pcm: bytes) -> None:
        if self.packets.full():
            self.full.set()
        await self.packets.put(pcm)

    async def end(self) -> None:
        await self.packets.put(None)

    async def events(self):
        yield SpeechStarted(0.0)
        await self.full.wait()
        yield SpeechStarted(1.0)
        await asyncio.Event().wait()


class CountingVoice:
    """Speaks numbered pieces as fast as they are taken."""

    price = PRICE

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    def check(self, config) -> int:
        return 16_000

    async def speak(self, segment, config):
        for number in range(self.pieces):
            yield Voiced(number.to_bytes(2, "little"))


async def forever(item):
    while True:
        yield item


async def written(*texts: str):
    for text in texts:
        yield text


async def test_a_caller_who_leaves_while_the_engine_is_behind_is_let_go():
    speech = Speech(QueueListener(), CountingVoice(0), Book(), Book())
    async with asyncio.timeout(DEADLINE_S):
        async with aclosing(speech.listen(ListeningConfig(16_000, "en"), forever(bytes(320)))) as events:
            assert await anext(events) == SpeechStarted(0.0)
            assert await anext(events) == SpeechStarted(1.0)


async def spoken(speech: Speech, *texts: str) -> list[bytes]:
    heard: list[bytes] = []
    async with aclosing(speech.speak(SpeakingConfig(16_000, "en"), written(*texts))) as events:
        async for event in events:
            if not heard:
                # The caller is slow: by now all that has room is waiting.
                for _ in range(3 * flow.PIECES_WAITING_MAX):
                    await asyncio.sleep(0)
            if isinstance(event, Voiced):
                heard.append(event.pcm)
    return heard


@pytest.mark.parametrize("over", [-1, 0, 1, 2])
async def test_a_slow_caller_hears_every_piece(over):
    pieces = flow.PIECES_WAITING_MAX + over
    heard = await spoken(Speech(QueueListener(), CountingVoice(pieces), Book(), Book()), "Hello.")
    assert heard == [number.to_bytes(2, "little") for number in range(pieces)]


@pytest.mark.parametrize("over", [0, 1])
async def test_a_slow_caller_hears_every_piece_before_the_limit_that_ended_the_stream(over):
    pieces = flow.PIECES_WAITING_MAX + over
    speech = Speech(QueueListener(), CountingVoice(pieces), Book(spends_max=1), Book())
    heard: list[bytes] = []
    with pytest.raises(ResourceExhausted):
        async with aclosing(speech.speak(SpeakingConfig(16_000, "en"), written("One. Two. "))) as events:
            async for event in events:
                for _ in range(0 if heard else 3 * flow.PIECES_WAITING_MAX):
                    await asyncio.sleep(0)
                heard += [event.pcm] if isinstance(event, Voiced) else []
    assert len(heard) == pieces
