"""The JSON front end and the webhook receiver, over a real HTTP socket."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import aiohttp
import pytest
from livekit import api

from tests.fakes.livekit_rooms import MemoryRooms

LIVEKIT_KEY, LIVEKIT_SECRET = "key", "a-livekit-secret-of-32-bytes-or-more"


async def call(served, method, path, body=None, *, token=None, headers=None):
    bearer = served.token() if token is None else token
    sent = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, served.url + path, json=body, headers={**sent, **(headers or {})}) as response,
    ):
        return response.status, await response.json() if response.content_length else None, response.headers


async def webhook(served, event, room, event_id, *, secret=LIVEKIT_SECRET, tamper=False):
    body = json.dumps({"event": event, "id": event_id, "room": {"name": room}})
    token = api.AccessToken(LIVEKIT_KEY, secret)
    token = token.with_sha256(base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()).to_jwt()
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(served.url + "/v1/livekit/webhook", data=body + (" " if tamper else ""), headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_a_room_goes_through_its_life_as_json(served):
    status, made, _ = await call(served, "POST", "/v1/rooms", {"name": "demo", "max_participants": 4})
    assert (status, made["room"]["name"], made["room"]["agent_present"]) == (201, "demo", False)
    status, joined, _ = await call(served, "POST", "/v1/rooms/demo/join", {"identity": "ann"})
    assert (status, joined["access"]["livekit_room"]) == (200, "acme__demo")
    assert joined["access"]["token"]
    assert served.livekit.dispatched == 1
    status, again, _ = await call(served, "POST", "/v1/rooms/demo/token", {"identity": "ann"})
    assert (status, again["access"]["url"]) == (200, "ws://livekit.test")
    status, listed, _ = await call(served, "GET", "/v1/rooms")
    assert (status, [room["name"] for room in listed["rooms"]]) == (200, ["demo"])
    assert (await call(served, "DELETE", "/v1/rooms/demo"))[0] == 204
    assert (await call(served, "GET", "/v1/rooms"))[1] == {"rooms": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/v1/rooms/none/join", {"identity": "ann"}, 404, "ROOM_NOT_FOUND"),
        ("POST", "/v1/rooms", {"name": "a b"}, 400, "INVALID_FIELD"),
        ("POST", "/v1/rooms", {"name": 7}, 400, "INVALID_FIELD"),
        ("POST", "/v1/rooms", {"name": "a", "max_participants": 1.5}, 400, "INVALID_FIELD"),
        ("POST", "/v1/rooms", {"name": "a", "empty_timeout_s": "long"}, 400, "INVALID_FIELD"),
        ("POST", "/v1/rooms", ["name"], 400, "INVALID_FIELD"),
        ("GET", "/v1/nothing", None, 404, ""),
    ],
)
async def test_errors_are_json_with_a_reason(served, method, path, body, status, reason):
    got, answer, _ = await call(served, method, path, body)
    assert (got, answer["error"]["reason"]) == (status, reason)
    assert answer["error"]["message"]


async def test_a_token_is_needed_and_its_tenant_sees_its_own_rooms_alone(served):
    await call(served, "POST", "/v1/rooms", {"name": "demo"})
    status, answer, _ = await call(served, "GET", "/v1/rooms", token="")
    assert (status, answer["error"]["reason"]) == (401, "TOKEN_MISSING")
    status, answer, _ = await call(served, "GET", "/v1/rooms", token="forged")
    assert (status, answer["error"]["reason"]) == (401, "TOKEN_INVALID")
    status, answer, _ = await call(served, "GET", "/v1/rooms", token=served.token("other"))
    assert (status, answer) == (200, {"rooms": []})


async def test_a_livekit_that_is_away_is_503_with_when_to_come_back(served):
    served.livekit.away = True
    status, answer, headers = await call(served, "GET", "/v1/rooms")
    assert (status, answer["error"]["retry_after_s"], headers["Retry-After"]) == (503, 1, "1")


async def test_a_browser_of_a_known_origin_may_call_and_others_may_not(served):
    known = {"Origin": "https://app.example.org"}
    status, _, headers = await call(served, "OPTIONS", "/v1/rooms", token="", headers=known)
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, "https://app.example.org")
    _, _, headers = await call(served, "GET", "/v1/rooms", headers={"Origin": "https://evil.example.org"})
    assert "Access-Control-Allow-Origin" not in headers


async def test_a_large_body_is_refused(served):
    body = io.BytesIO(b'{"name": "' + b"x" * 1_500_000 + b'"}')
    headers = {"Authorization": f"Bearer {served.token()}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(served.url + "/v1/rooms", data=body, headers=headers) as response,
    ):
        assert response.status == 413


async def with_lonely_person(served) -> MemoryRooms:
    async with served.client() as rooms:
        await rooms.create_room("demo")
    served.livekit.join("acme__demo", "ann")
    return served.livekit


async def test_a_webhook_brings_an_agent_to_people_without_one(served):
    livekit = await with_lonely_person(served)
    assert await webhook(served, "participant_joined", "acme__demo", "EV_1") == (200, {"duplicate": False})
    assert livekit.dispatched == 1


async def test_a_webhook_delivered_twice_is_handled_once(served):
    livekit = await with_lonely_person(served)
    await webhook(served, "participant_joined", "acme__demo", "EV_1")
    livekit.clock.now_s += 60
    assert await webhook(served, "participant_joined", "acme__demo", "EV_1") == (200, {"duplicate": True})
    assert livekit.dispatched == 1


async def test_a_webhook_that_failed_is_handled_when_it_comes_again(served):
    livekit = await with_lonely_person(served)
    livekit.away = True
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1"))[0] == 503
    livekit.away = False
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1"))[1] == {"duplicate": False}
    assert livekit.dispatched == 1


@pytest.mark.parametrize("forgery", [{"secret": "another-secret-of-at-least-32-bytes!"}, {"tamper": True}])
async def test_a_forged_webhook_is_refused(served, forgery):
    livekit = await with_lonely_person(served)
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1", **forgery))[0] == 401
    assert livekit.dispatched == 0


async def test_rooms_of_others_and_rooms_without_people_get_no_agent(served):
    livekit = await with_lonely_person(served)
    livekit.join("somebody-elses-room", "eve")
    await webhook(served, "participant_joined", "somebody-elses-room", "EV_1")
    livekit.leave("acme__demo", "ann")
    await webhook(served, "participant_left", "acme__demo", "EV_2")
    await webhook(served, "room_finished", "acme__demo", "EV_3")
    assert livekit.dispatched == 0


async def test_a_sweep_finds_a_dead_agent_and_sends_another_with_the_same_orders(served):
    livekit = served.livekit
    livekit.agents_come = True
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.join_room("demo", "ann")
    livekit.join("acme__demo", "ann")
    orders = livekit.dispatches["acme__demo"][0].metadata
    livekit.leave("acme__demo", "hocket-agent")
    await served.watcher.sweep()
    assert livekit.dispatched == 1
    livekit.clock.now_s += 11
    await served.watcher.sweep()
    await served.watcher.sweep()
    assert livekit.dispatched == 2
    assert [d.metadata for d in livekit.dispatches["acme__demo"]] == [orders]
