"""Errors survive the wire."""

from __future__ import annotations

import grpc
import pytest
from hocket.errors.v1 import reason_pb2

from hocket.chassis import errors, status

KINDS = sorted(status._KINDS.values(), key=lambda kind: kind.code)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_kind_comes_back_as_itself(kind):
    sent = kind("a sentence", metadata={"limitPerMinute": "10"})
    sent.retry_after_s = 0.25
    code = grpc.StatusCode[kind.code]
    got = status.from_status(code, sent.message, status.to_status(sent, "hocket.test").SerializeToString())
    assert (kind, "a sentence", sent.reason) == (type(got), got.message, got.reason)
    assert got.metadata == {"limitPerMinute": "10"}
    assert (None if kind is errors.InvalidArgument else 0.25) == got.retry_after_s


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_the_default_reason_of_every_kind_is_in_the_contract(kind):
    assert f"REASON_{kind.default_reason}" in set(reason_pb2.Reason.keys())


def test_an_error_of_a_peer_without_details_still_has_its_kind():
    got = status.from_status(grpc.StatusCode.UNAVAILABLE, "connection refused", None)
    assert (errors.Unavailable, "connection refused") == (type(got), got.message)


def test_a_code_without_a_kind_is_a_plain_mesh_error():
    assert errors.MeshError is type(status.from_status(grpc.StatusCode.DATA_LOSS, "gone", None))


@pytest.mark.parametrize(
    ("side", "kind"),
    [
        ("CLIENT: Sent", errors.InvalidArgument),
        ("SERVER: Received", errors.InvalidArgument),
        ("SERVER: Sent", errors.ResourceExhausted),
        ("CLIENT: Received", errors.ResourceExhausted),
    ],
)
def test_a_request_too_large_is_the_callers_mistake_and_an_answer_too_large_is_not(side, kind):
    told = f"{side} message larger than max (17000000 vs. 16777216)"
    assert kind is type(status.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, told, None))


def test_a_server_without_room_is_not_taken_for_a_spent_limit():
    got = status.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", None)
    assert (errors.ResourceExhausted, "OVERLOADED") == (type(got), got.reason)
