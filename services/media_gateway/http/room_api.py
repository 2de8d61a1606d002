"""RoomService as JSON over HTTP for front ends, and the receiver of LiveKit's webhooks."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from hocket.chassis.auth import TokenVerifier
from hocket.chassis.errors import DeadlineExceeded, InvalidArgument, MeshError, Unauthenticated, invalid_field
from hocket.chassis.identity import Identity
from services.media_gateway import telemetry
from services.media_gateway.dispatch.watcher import RoomWatcher
from services.media_gateway.flow import Rooms
from services.media_gateway.server import access_to_proto, room_to_proto

# A webhook tells all of a participant: LiveKit allows 512 KiB of metadata.
BODY_BYTES_MAX = 1024 * 1024
_REQUEST_TIMEOUT_S = 15.0
# google.rpc.Code to HTTP, as grpc-gateway maps them.
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_log = structlog.get_logger()

# Verifies a webhook's body by its Authorization header and gives (event id, event, room). Raises Unauthenticated.
WebhookReader = Callable[[str, str], tuple[str, str, str]]


class FrontEnd:
    """The routes under /v1."""

    def __init__(
        self,
        rooms: Rooms,
        watcher: RoomWatcher,
        verifier: TokenVerifier,
        read_webhook: WebhookReader,
        *,
        local_identity: Identity | None,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """Serve browsers of `origins`; `local_identity` stands in for a token where no key is configured."""
        self._rooms = rooms
        self._watcher = watcher
        self._verifier = verifier
        self._read_webhook = read_webhook
        self._local_identity = local_identity
        self._origins = origins

    def app(self) -> web.Application:
        """The application, to be put on a port."""
        app = web.Application(middlewares=[self._cross_origin, _errors_as_json], client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/v1/rooms", self._create)
        app.router.add_get("/v1/rooms", self._list)
        app.router.add_delete("/v1/rooms/{room}", self._delete)
        app.router.add_post("/v1/rooms/{room}/join", self._join)
        app.router.add_post("/v1/rooms/{room}/token", self._token)
        app.router.add_post("/v1/livekit/webhook", self._webhook)
        return app

    async def _create(self, request: web.Request) -> web.Response:
        caller, body = await self._caller(request), await _body(request)
        seconds = _number(body, "empty_timeout_s")
        people = _number(body, "max_participants") or 0
        if people != int(people):
            raise invalid_field("max_participants", "must be a whole number")
        room = await self._rooms.create(
            caller, _text(body, "name"), empty_timeout_s=seconds, participants_max=int(people)
        )
        return _json({"room": _dict(room_to_proto(room))}, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        listed = await self._rooms.list(await self._caller(request))
        return _json({"rooms": [_dict(room_to_proto(room)) for room in listed]})

    async def _delete(self, request: web.Request) -> web.Response:
        await self._rooms.delete(await self._caller(request), request.match_info["room"])
        return web.Response(status=204)

    async def _join(self, request: web.Request) -> web.Response:
        caller, body = await self._caller(request), await _body(request)
        access = await self._rooms.join(
            caller, request.match_info["room"], _text(body, "identity"), _text(body, "display_name")
        )
        return _json({"access": _dict(access_to_proto(access))})

    async def _token(self, request: web.Request) -> web.Response:
        caller, body = await self._caller(request), await _body(request)
        access = await self._rooms.access(caller, request.match_info["room"], _text(body, "identity"))
        return _json({"access": _dict(access_to_proto(access))})

    async def _webhook(self, request: web.Request) -> web.Response:
        # The content type is application/webhook+json, which request.json() would refuse; the hash is over raw bytes.
        body = (await request.read()).decode("utf-8", "replace")
        try:
            event_id, event, livekit_room = self._read_webhook(body, request.headers.get("Authorization", ""))
        except Unauthenticated:
            telemetry.webhooks.labels("refused").inc()
            raise
        fresh = await self._watcher.on_webhook(event_id, event, livekit_room)
        telemetry.webhooks.labels("handled" if fresh else "duplicate").inc()
        return _json({"duplicate": not fresh})

    async def _caller(self, request: web.Request) -> Identity:
        if self._local_identity is not None:
            return self._local_identity
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send the header 'Authorization: Bearer <token>'", reason="TOKEN_MISSING")
        return await self._verifier.verify(token)

    @web.middleware
    async def _cross_origin(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        allowed = origin in self._origins
        preflight = request.method == "OPTIONS" and allowed
        response = web.Response(status=204) if preflight else await handler(request)
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            response.headers["Vary"] = "Origin"
        return response


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            return await handler(request)
    except MeshError as error:
        return _error(error)
    except TimeoutError:
        return _error(DeadlineExceeded(f"not done within {_REQUEST_TIMEOUT_S} s"))
    except web.HTTPException as error:
        # aiohttp's own: no such route, body too large.
        phrase = http.HTTPStatus(error.status).phrase.upper().replace(" ", "_")
        return _json({"error": {"code": phrase, "reason": "", "message": error.reason}}, status=error.status)


def _error(error: MeshError) -> web.Response:
    shown: dict[str, Any] = {"code": error.code, "reason": error.reason, "message": error.message}
    if isinstance(error, InvalidArgument) and error.fields:
        shown["fields"] = error.fields
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        shown["retry_after_s"] = error.retry_after_s
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return _json({"error": shown}, status=_HTTP_STATUS.get(error.code, 500), headers=headers)


def _json(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


def _dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        read: Any = await request.json() if request.can_read_body else {}
    except ValueError as error:
        raise InvalidArgument("the body is not JSON") from error
    if not isinstance(read, dict):
        raise InvalidArgument("the body must be a JSON object")
    return read  # pyright: ignore[reportUnknownVariableType] - JSON has no type to know


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field, "")
    if not isinstance(value, str):
        raise invalid_field(field, "must be a string")
    return value


def _number(body: Mapping[str, Any], field: str) -> float | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_field(field, "must be a number")
    return float(value)
