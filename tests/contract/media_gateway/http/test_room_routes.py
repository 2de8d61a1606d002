"""RoomService as JSON, over a real HTTP socket."""

from __future__ import annotations

import io

import aiohttp
import pytest


async def call(served, method, path, body=None, *, token=None, headers=None):
    bearer = served.token() if token is None else token
    sent = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, served.url + path, json=body, headers={**sent, **(headers or {})}) as response,
    ):
        return response.status, await response.json() if response.content_length else None, response.headers


async def test_create_join_token_list_and_delete(served):
    status, made, _ = await call(served, "POST", "/v1/rooms", {"name": "demo", "max_participants": 4})
    assert (status, made["room"]["name"], made["room"]["agent_present"]) == (201, "demo", False)
    status, joined, _ = await call(served, "POST", "/v1/rooms/demo/join", {"identity": "ann"})
    assert (status, joined["access"]["livekit_room"]) == (200, "acme__demo")
    assert joined["access"]["token"]
    assert served.livekit.dispatch_count == 1
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


async def test_a_token_is_required_and_selects_the_tenant(served):
    await call(served, "POST", "/v1/rooms", {"name": "demo"})
    status, answer, _ = await call(served, "GET", "/v1/rooms", token="")
    assert (status, answer["error"]["reason"]) == (401, "TOKEN_MISSING")
    status, answer, _ = await call(served, "GET", "/v1/rooms", token="forged")
    assert (status, answer["error"]["reason"]) == (401, "TOKEN_INVALID")
    status, answer, _ = await call(served, "GET", "/v1/rooms", token=served.token("other"))
    assert (status, answer) == (200, {"rooms": []})


async def test_an_outage_of_livekit_is_503_with_retry_after(served):
    served.livekit.unavailable = True
    status, answer, headers = await call(served, "GET", "/v1/rooms")
    assert (status, answer["error"]["retry_after_s"], headers["Retry-After"]) == (503, 1, "1")


async def test_cors_allows_configured_origins_only(served):
    known = {"Origin": "https://app.example.org"}
    status, _, headers = await call(served, "OPTIONS", "/v1/rooms", token="", headers=known)
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, "https://app.example.org")
    _, _, headers = await call(served, "GET", "/v1/rooms", headers={"Origin": "https://evil.example.org"})
    assert "Access-Control-Allow-Origin" not in headers


async def test_a_large_body_is_rejected(served):
    body = io.BytesIO(b'{"name": "' + b"x" * 1_500_000 + b'"}')
    headers = {"Authorization": f"Bearer {served.token()}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(served.url + "/v1/rooms", data=body, headers=headers) as response,
    ):
        assert response.status == 413
