"""The HTTP application: routes, CORS, and errors as JSON."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from hocket.chassis.errors import DeadlineExceeded, InvalidArgument, MeshError
from services.media_gateway.http.json_body import json_response
from services.media_gateway.http.room_routes import RoomRoutes
from services.media_gateway.http.webhook import WebhookReceiver

# LiveKit allows 512 KiB of participant metadata, which a webhook contains.
BODY_BYTES_MAX = 1024 * 1024
_REQUEST_TIMEOUT_S = 15.0
# google.rpc.Code to HTTP status, as grpc-gateway maps them.
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    routes: RoomRoutes, webhook: WebhookReceiver, *, origins: frozenset[str] = frozenset()
) -> web.Application:
    """Return the application with all routes under /v1.

    Args:
        routes: Handlers of RoomService over HTTP.
        webhook: Handler of LiveKit's webhooks.
        origins: Browser origins that CORS allows.
    """
    app = web.Application(middlewares=[_cors(origins), _errors_as_json], client_max_size=BODY_BYTES_MAX)
    app.router.add_post("/v1/rooms", routes.create_room)
    app.router.add_get("/v1/rooms", routes.list_rooms)
    app.router.add_delete("/v1/rooms/{room}", routes.delete_room)
    app.router.add_post("/v1/rooms/{room}/join", routes.join_room)
    app.router.add_post("/v1/rooms/{room}/token", routes.get_room_token)
    app.router.add_post("/v1/livekit/webhook", webhook.receive)
    return app


def _cors(origins: frozenset[str]) -> Middleware:
    @web.middleware
    async def add_headers(request: web.Request, handler: _Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        allowed = origin in origins
        preflight = request.method == "OPTIONS" and allowed
        response = web.Response(status=204) if preflight else await handler(request)
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            response.headers["Vary"] = "Origin"
        return response

    return add_headers


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            return await handler(request)
    except MeshError as error:
        return _error_response(error)
    except TimeoutError:
        return _error_response(DeadlineExceeded(f"request was not done within {_REQUEST_TIMEOUT_S} s; retry"))
    except web.HTTPException as error:
        # Raised by aiohttp: unknown route, body too large.
        code = http.HTTPStatus(error.status).phrase.upper().replace(" ", "_")
        return json_response({"error": {"code": code, "reason": "", "message": error.reason}}, status=error.status)


def _error_response(error: MeshError) -> web.Response:
    body: dict[str, object] = {"code": error.code, "reason": error.reason, "message": error.message}
    if isinstance(error, InvalidArgument) and error.fields:
        body["fields"] = error.fields
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return json_response({"error": body}, status=_HTTP_STATUS.get(error.code, 500), headers=headers)
