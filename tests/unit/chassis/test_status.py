"""Conversion of errors to google.rpc.Status and back."""

from __future__ import annotations

import grpc
import pytest
from hocket.errors.v1 import reason_pb2

from hocket.chassis import errors, status

KINDS = sorted(status._KINDS.values(), key=lambda kind: kind.code)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_each_error_class_survives_the_round_trip(kind):
    sent = kind("a sentence", metadata={"limitPerMinute": "10"})
    sent.retry_after_s = 0.25
    code = grpc.StatusCode[kind.code]
    got = status.from_status(code, sent.message, status.to_status(sent, "hocket.test").SerializeToString())
    assert (kind, "a sentence", sent.reason) == (type(got), got.message, got.reason)
    assert got.metadata == {"limitPerMinute": "10"}
    assert (None if kind is errors.InvalidArgument else 0.25) == got.retry_after_s


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_each_default_reason_is_in_the_contract(kind):
    assert f"REASON_{kind.default_reason}" in set(reason_pb2.Reason.keys())


def test_an_error_without_details_has_the_class_of_its_code():
    got = status.from_status(grpc.StatusCode.UNAVAILABLE, "connection refused", None)
    assert (errors.Unavailable, "connection refused") == (type(got), got.message)


def test_a_code_without_a_class_is_a_plain_mesh_error():
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
def test_an_oversized_request_is_invalid_and_an_oversized_response_is_not(side, kind):
    message = f"{side} message larger than max (17000000 vs. 16777216)"
    assert kind is type(status.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, message, None))


def test_a_full_server_is_overloaded_and_not_rate_limited():
    got = status.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", None)
    assert (errors.ResourceExhausted, "OVERLOADED") == (type(got), got.reason)
