"""JWKS: rate of fetches, shared fetches, and validity without the issuer."""

from __future__ import annotations

import asyncio
import json
import threading

import jwt
import pytest
import structlog

from hocket.chassis.errors import Unavailable
from hocket.chassis.key_set import FETCH_INTERVAL_S_MIN, STALE_S_MAX, KeyFile, KeySet
from tests.fakes.waiting import DEADLINE_S

ONE = jwt.PyJWK({"kty": "oct", "k": "b25l"}, algorithm="HS256")
TWO = jwt.PyJWK({"kty": "oct", "k": "dHdv"}, algorithm="HS256")
REFRESH_S = 300.0


class FakeIssuer:
    """A key set endpoint that a test can hold back or make unavailable, and a clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.keys = {"one": ONE}
        self.unavailable = False
        self.fetches = 0
        self.response_gate = threading.Event()
        self.response_gate.set()

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s

    def fetch(self):
        self.fetches += 1
        self.response_gate.wait(5)
        if self.unavailable:
            raise jwt.PyJWKClientConnectionError("unavailable")
        return dict(self.keys)


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def keys(issuer) -> KeySet:
    return KeySet(issuer.fetch, refresh_s=REFRESH_S, clock=issuer)


async def wait_for_refresh(keys: KeySet) -> None:
    """Wait for the fetch that runs in the background, if any."""
    if keys._fetching is not None:
        await keys._fetching


async def test_concurrent_callers_share_one_fetch_that_survives_a_cancellation(issuer, keys):
    issuer.response_gate.clear()
    waiting = [asyncio.create_task(keys.key("one")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    issuer.response_gate.set()
    assert await asyncio.gather(*waiting[1:]) == [ONE] * 19
    assert issuer.fetches == 1


async def test_unknown_key_ids_cause_at_most_one_fetch_per_interval(issuer, keys):
    await keys.key("one")
    for _ in range(50):
        with pytest.raises(jwt.InvalidKeyError):
            await keys.key("made up")
    assert issuer.fetches == 1
    issuer.now_s += FETCH_INTERVAL_S_MIN
    for _ in range(50):
        with pytest.raises(jwt.InvalidKeyError):
            await keys.key("made up")
    assert issuer.fetches == 2


async def test_a_new_key_is_fetched_and_a_withdrawn_one_dropped(issuer, keys):
    await keys.key("one")
    issuer.now_s += FETCH_INTERVAL_S_MIN
    issuer.keys = {"two": TWO}
    assert await keys.key("two") == TWO
    with pytest.raises(jwt.InvalidKeyError):
        await keys.key("one")


async def test_a_known_key_is_returned_without_waiting_for_a_refresh(issuer, keys):
    await keys.key("one")
    issuer.now_s += REFRESH_S
    issuer.response_gate.clear()
    assert await asyncio.wait_for(keys.key("one"), DEADLINE_S) == ONE
    issuer.keys = {}
    issuer.response_gate.set()
    await wait_for_refresh(keys)
    with pytest.raises(Unavailable):
        await keys.key("one")


async def test_known_keys_stay_valid_for_a_day_without_their_issuer(issuer, keys):
    await keys.key("one")
    issuer.unavailable = True
    issuer.now_s += STALE_S_MAX
    assert await keys.key("one") == ONE
    await wait_for_refresh(keys)
    issuer.now_s += 1
    with pytest.raises(Unavailable):
        await keys.key("one")
    issuer.unavailable = False
    assert await keys.key("one") == ONE


KEYS = {"keys": [{"kty": "oct", "k": "b25l", "kid": "one", "alg": "HS256"}]}


@pytest.mark.parametrize("content", ["", json.dumps(KEYS)[:30], "[]"])
async def test_a_half_written_file_keeps_its_keys_and_is_logged_once(tmp_path, content):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    keys = KeyFile(path)
    held = await keys.key("one")
    with structlog.testing.capture_logs() as logs:
        path.write_text(content)
        for _ in range(3):
            assert await keys.key("one") is held
        path.unlink()
        for _ in range(3):
            assert await keys.key("one") is held
    assert [entry["event"] for entry in logs] == ["key set not read"] * 2


async def test_an_empty_key_set_withdraws_all_keys_at_once(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    keys = KeyFile(path)
    await keys.key("one")
    path.write_text('{"keys": []}')
    with pytest.raises(Unavailable):
        await keys.key("one")
