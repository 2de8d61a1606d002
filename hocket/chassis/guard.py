"""Server interceptor: identity, deadline, trace, metrics, and errors as google.rpc.Status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import grpc
import structlog
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace

from hocket.chassis import deadline, identity
from hocket.chassis.auth import TokenVerifier
from hocket.chassis.errors import DeadlineExceeded, Internal, MeshError, Unauthenticated
from hocket.chassis.rpc_spans import end_server_span, start_span
from hocket.chassis.status import DETAILS_KEY, to_status
from hocket.chassis.telemetry import RpcMetrics, trace_exemplar

# These classes are generic in the type stubs only.
if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Context = grpc.aio.ServicerContext
    _Handler = grpc.RpcMethodHandler

_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection."
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GuardRules:
    """Rules of the interceptor; `local_identity` replaces tokens where no key is configured, None requires them."""

    domain: str
    unary_deadline_s: float
    stream_deadline_s: float
    verifier: TokenVerifier
    local_identity: identity.Identity | None = None


class Guard(grpc.aio.ServerInterceptor):
    """Interceptor of all four kinds of RPC; health and reflection pass without a token."""

    def __init__(self, rules: GuardRules, metrics: RpcMetrics) -> None:
        """Apply `rules` to each RPC and record it in `metrics`."""
        self._rules = rules
        # Looking a metric up by its labels costs more than incrementing it.
        self._in_flight = cache(metrics.in_flight.labels)
        self._seconds = cache(metrics.seconds.labels)
        self._calls = cache(metrics.by_tier.labels)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the handler of a call (grpc.aio calls this)."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith((_HEALTH, _REFLECTION)):
            return handler
        streaming = handler.request_streaming or handler.response_streaming
        limit_s = self._rules.stream_deadline_s if streaming else self._rules.unary_deadline_s

        def around(context: Context) -> Any:
            return self._around(method, limit_s, context)

        return _wrapped(handler, around)

    @asynccontextmanager
    async def _around(self, method: str, limit_s: float, context: Context) -> AsyncGenerator[None, None]:
        started, code, tier = time.perf_counter(), "OK", "none"
        in_flight = self._in_flight(method)
        in_flight.inc()
        metadata = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        span = start_span(method, trace.SpanKind.SERVER, parent=propagate.extract(metadata))
        token = otel_context.attach(trace.set_span_in_context(span))
        try:
            async with _bounded(context, limit_s):
                caller = await self._identify(metadata)
                tier = caller.tenant_tier
                identity.bind(caller)
                yield
        except MeshError as error:
            code = error.code
            await self._abort(context, error)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = "ABORTED"
            raise
        except Exception as error:  # noqa: BLE001 - the only catch-all: the log gets the exception, the caller INTERNAL
            code = "INTERNAL"
            span.record_exception(error)
            _log.exception("unexpected error in rpc", method=method)
            await self._abort(
                context, Internal("internal error; report it with the trace id, the service's log holds the exception")
            )
        finally:
            otel_context.detach(token)
            end_server_span(span, code)
            in_flight.dec()
            self._seconds(method, code).observe(time.perf_counter() - started, trace_exemplar(span))
            self._calls(tier, code).inc()

    async def _identify(self, metadata: dict[str, str]) -> identity.Identity:
        if self._rules.local_identity is not None:
            return self._rules.local_identity
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(
                "the call carries no bearer token; send metadata 'authorization: Bearer <token>'",
                reason="TOKEN_MISSING",
            )
        return await self._rules.verifier.verify(token)

    async def _abort(self, context: Context, error: MeshError) -> None:
        status = to_status(error, self._rules.domain)
        details = ((DETAILS_KEY, status.SerializeToString()),)
        await context.abort(grpc.StatusCode[error.code], error.message, details)


@asynccontextmanager
async def _bounded(context: Context, limit_s: float) -> AsyncGenerator[None, None]:
    """Bind the caller's deadline minus SHAVE_S, or the server's limit where that is shorter or none came."""
    # Typed as float, but None where the caller set no deadline.
    left = cast("float | None", context.time_remaining())
    seconds = limit_s if left is None else min(left - deadline.SHAVE_S, limit_s)
    if seconds <= 0:
        raise DeadlineExceeded(
            f"{left or 0:.3f} s of the deadline were left, too little to start; set a longer deadline"
        )
    deadline.bind(seconds)
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            yield
    except TimeoutError:
        if timer.expired():
            raise DeadlineExceeded(f"not done within {seconds:.3f} s; set a longer deadline or request less") from None
        raise


def _wrapped(handler: _Handler, around: Callable[[Context], Any]) -> _Handler:
    if handler.response_streaming:
        return _wrapped_stream(handler, around)
    behavior: Any = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def respond(request: Any, context: Context) -> Any:
        async with around(context):
            return await behavior(request, context)

    make: Any = (
        grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    )
    return cast("_Handler", make(respond, handler.request_deserializer, handler.response_serializer))


def _wrapped_stream(handler: _Handler, around: Callable[[Context], Any]) -> _Handler:
    behavior: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

    # A coroutine over context.write, not a generator: when the caller cancels, the servicer's generator and its
    # resources are closed here at once. grpc.aio would leave a generator to the garbage collector.
    async def stream(request: Any, context: Context) -> None:
        async with around(context), aclosing(behavior(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    make: Any = (
        grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    )
    return cast("_Handler", make(stream, handler.request_deserializer, handler.response_serializer))
