"""Spans of RPCs by OpenTelemetry's semantic conventions, and a channel that makes a client span of each call.

`rpc.system`, `rpc.service` and `rpc.grpc.status_code` are the names that collectors index today; `rpc.system.name` and
`rpc.response.status_code` are their successors. The interceptors of opentelemetry-instrumentation-grpc do not fit: they
turn the call of a stream into a generator, which can neither write nor cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import grpc
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from hocket.chassis.closes_on_exit import ClosesOnExit

# A server's span fails where the server is at fault; the other codes are the caller's errors (semantic conventions).
_SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_tracer = trace.get_tracer("hocket.chassis")
Start = Callable[..., Any]
NO_PEER: Mapping[str, str | int] = {}


def start_span(
    method: str, kind: SpanKind, *, parent: Context | None = None, peer: Mapping[str, str | int] = NO_PEER
) -> Span:
    """Start the span of an RPC; end it with `end_span` or `end_server_span`.

    Args:
        method: Path of the RPC, for instance "/hocket.rag.v1.RagService/Search".
        kind: CLIENT or SERVER.
        parent: Context of the parent; None for the current one.
        peer: Attributes of the server that a client calls.
    """
    service, _, name = method.lstrip("/").partition("/")
    attributes = {"rpc.system": "grpc", "rpc.system.name": "grpc", "rpc.service": service, "rpc.method": name, **peer}
    return _tracer.start_span(f"{service}/{name}", parent, kind, attributes)


def end_span(span: Span, code: grpc.StatusCode, *, failed: bool) -> None:
    """End the span of an RPC with its status code; `failed` marks it as an error."""
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    span.set_attribute("rpc.response.status_code", code.name)
    if failed:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def end_server_span(span: Span, code: str) -> None:
    """End a server's span with the name of the status code."""
    end_span(span, grpc.StatusCode[code], failed=code in _SERVER_FAULTS)


class TracedChannel(ClosesOnExit, grpc.aio.Channel):
    """Channel whose calls are client spans and carry the W3C trace context. Closing it closes the wrapped channel."""

    def __init__(self, channel: grpc.aio.Channel, target: str) -> None:
        """Wrap `channel`, which is connected to `target`."""
        self._channel = channel
        self._peer = _peer_attributes(target)

    async def close(self, grace: float | None = None) -> None:
        """Close the channel; calls on it are cancelled, after `grace` seconds if given."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the connection."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state differs from `last_observed_state`."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the connection is ready."""
        await self._channel.channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return a method with one request and one response (generated stubs call this)."""
        return partial(self._call, method, self._channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return a method with one request and a stream of responses."""
        return partial(self._call, method, self._channel.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return a method with a stream of requests and one response."""
        return partial(self._call, method, self._channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return a method with streams in both directions."""
        return partial(self._call, method, self._channel.stream_stream(method, *args, **kwargs))

    def _call(self, method: str, start: Start, *args: Any, metadata: Any = None, **options: Any) -> Any:
        span = start_span(method, SpanKind.CLIENT, peer=self._peer)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        try:
            call = start(*args, metadata=(*(metadata or ()), *carrier.items()), **options)
        except BaseException:
            end_span(span, grpc.StatusCode.UNKNOWN, failed=True)
            raise
        call.add_done_callback(partial(_ended, span))
        return call


def _peer_attributes(target: str) -> dict[str, str | int]:
    """Return the attributes of a target such as "dns:///vision:50051" or "[::1]:50051"."""
    host, _, port = target.rpartition("/")[2].rpartition(":")
    return {"server.address": host.strip("[]"), "server.port": int(port)} if port.isdecimal() else {}


def _ended(span: Span, call: grpc.aio.Call) -> None:
    # Read synchronously: at the end of a process no loop is left to run a task.
    reading, code = call.code(), grpc.StatusCode.UNKNOWN
    try:
        reading.send(None)
    except StopIteration as read:
        code = cast("grpc.StatusCode", read.value)
    finally:
        reading.close()
    # A call that its own caller cancelled, at a barge-in for instance, is no error.
    end_span(span, code, failed=code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED))
