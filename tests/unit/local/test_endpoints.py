"""Text printed by `up`, `status` and `env`."""

from __future__ import annotations

from local.endpoints import format_endpoints, shell_exports

STATE = {
    "processes": [{"name": "redis", "pid": 7}, {"name": "rag", "pid": 8}],
    "targets": {"rag": "127.0.0.1:1"},
    "ops_urls": {"rag": "http://127.0.0.1:2"},
    "http_url": "",
    "livekit_url": "ws://127.0.0.1:3",
}


def test_endpoints_and_token_are_listed():
    page = format_endpoints(STATE, "the-token")
    assert all(part in page for part in ("127.0.0.1:1", "http://127.0.0.1:2", "ws://127.0.0.1:3", "TOKEN=the-token"))
    assert "grpcurl -plaintext 127.0.0.1:1 list" in page


def test_examples_of_missing_services_are_left_out():
    page = format_endpoints(STATE, "the-token")
    assert "RoomService" not in page
    assert "/v1/rooms" not in page


def test_shell_exports_set_token_and_addresses():
    printed = shell_exports({"targets": {"rag": "127.0.0.1:20007"}, "http_url": "http://127.0.0.1:20010"}, "the token")
    assert printed.splitlines() == [
        "export RAG=127.0.0.1:20007",
        "export TOKEN='the token'",
        "export MEDIA_GATEWAY_HTTP=http://127.0.0.1:20010",
    ]
