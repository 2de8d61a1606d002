"""The page that `up` prints."""

from __future__ import annotations

from local.endpoints import describe, exports

STATE = {
    "processes": [{"name": "redis", "pid": 7}, {"name": "rag", "pid": 8}],
    "targets": {"rag": "127.0.0.1:1"},
    "ops_urls": {"rag": "http://127.0.0.1:2"},
    "http_url": "",
    "livekit_url": "ws://127.0.0.1:3",
}


def test_every_endpoint_and_the_token_stand_in_it():
    page = describe(STATE, "the-token")
    assert all(part in page for part in ("127.0.0.1:1", "http://127.0.0.1:2", "ws://127.0.0.1:3", "TOKEN=the-token"))
    assert "grpcurl -plaintext 127.0.0.1:1 list" in page


def test_what_does_not_run_is_not_offered():
    page = describe(STATE, "the-token")
    assert "RoomService" not in page
    assert "/v1/rooms" not in page


def test_a_shell_gets_the_token_and_the_address_of_each_service():
    printed = exports({"targets": {"rag": "127.0.0.1:20007"}, "http_url": "http://127.0.0.1:20010"}, "the token")
    assert printed.splitlines() == [
        "export RAG=127.0.0.1:20007",
        "export TOKEN='the token'",
        "export MEDIA_GATEWAY_HTTP=http://127.0.0.1:20010",
    ]
