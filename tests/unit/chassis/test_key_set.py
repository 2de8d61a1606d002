"""JWKS: rate of fetches, shared fetches, and validity without the issuer."""

from __future__ import annotations

import asyncio
import threading

import jwt
import pytest

from hocket.chassis.errors import Unavailable
from hocket.chassis.key_set import FETCH_INTERVAL_S_MIN, STALE_S_MAX, KeySet
from tests.fakes.waiting import DEADLINE_S

ONE = jwt.PyJWK({"kty": "oct", "k": "b25l"}, algorithm="HS256")
TWO = jwt.PyJWK({"kty": "oct", "k": "dHdv"}, algorithm="HS256")
REFRESH_S = 300.0


class World:
    """A publisher and a clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.keys = {"one": ONE}
        self.away = False
        self.fetches = 0
        self.answering = threading.Event()
        self.answering.set()

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s

    def fetch(self):
        self.fetches += 1
        self.answering.wait(5)
        if self.away:
            raise jwt.PyJWKClientConnectionError("away")
        return dict(self.keys)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def keys(world) -> KeySet:
    return KeySet(world.fetch, refresh_s=REFRESH_S, clock=world)


async def settled(keys: KeySet) -> None:
    """Wait for a fetch that goes on behind the callers' backs."""
    if keys._fetching is not None:
        await keys._fetching


async def test_concurrent_callers_share_one_fetch_that_survives_a_cancellation(world, keys):
    world.answering.clear()
    waiting = [asyncio.create_task(keys.key("one")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    world.answering.set()
    assert await asyncio.gather(*waiting[1:]) == [ONE] * 19
    assert world.fetches == 1


async def test_unknown_key_ids_cause_at_most_one_fetch_per_interval(world, keys):
    await keys.key("one")
    for _ in range(50):
        with pytest.raises(jwt.InvalidKeyError):
            await keys.key("made up")
    assert world.fetches == 1
    world.now_s += FETCH_INTERVAL_S_MIN
    for _ in range(50):
        with pytest.raises(jwt.InvalidKeyError):
            await keys.key("made up")
    assert world.fetches == 2


async def test_a_new_key_is_fetched_and_a_withdrawn_one_dropped(world, keys):
    await keys.key("one")
    world.now_s += FETCH_INTERVAL_S_MIN
    world.keys = {"two": TWO}
    assert await keys.key("two") == TWO
    with pytest.raises(jwt.InvalidKeyError):
        await keys.key("one")


async def test_a_known_key_is_returned_without_waiting_for_a_refresh(world, keys):
    await keys.key("one")
    world.now_s += REFRESH_S
    world.answering.clear()
    assert await asyncio.wait_for(keys.key("one"), DEADLINE_S) == ONE
    world.keys = {}
    world.answering.set()
    await settled(keys)
    with pytest.raises(Unavailable):
        await keys.key("one")


async def test_known_keys_stay_valid_for_a_day_without_their_issuer(world, keys):
    await keys.key("one")
    world.away = True
    world.now_s += STALE_S_MAX
    assert await keys.key("one") == ONE
    await settled(keys)
    world.now_s += 1
    with pytest.raises(Unavailable):
        await keys.key("one")
    world.away = False
    assert await keys.key("one") == ONE
