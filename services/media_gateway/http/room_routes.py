"""Handlers of RoomService over HTTP: the same operations as the gRPC servicer, for front ends."""

from __future__ import annotations

from aiohttp import web

from hocket.chassis.auth import TokenVerifier
from hocket.chassis.errors import Unauthenticated, invalid_field
from hocket.chassis.identity import Identity
from services.media_gateway.flow import Rooms
from services.media_gateway.http.json_body import json_response, message_to_dict, number_field, read_body, text_field
from services.media_gateway.server import access_to_proto, room_to_proto


class RoomRoutes:
    """Handlers of the routes under /v1/rooms. Every call needs a bearer token of the mesh."""

    def __init__(self, rooms: Rooms, verifier: TokenVerifier, *, local_identity: Identity | None) -> None:
        """Serve room operations.

        Args:
            rooms: The operations.
            verifier: Verifies bearer tokens.
            local_identity: Identity of every caller where no key is configured; None requires tokens.
        """
        self._rooms = rooms
        self._verifier = verifier
        self._local_identity = local_identity

    async def create_room(self, request: web.Request) -> web.Response:
        """POST /v1/rooms."""
        caller, body = await self._caller(request), await read_body(request)
        empty_timeout_s = number_field(body, "empty_timeout_s")
        participants_max = number_field(body, "max_participants") or 0
        if participants_max != int(participants_max):
            raise invalid_field("max_participants", f"is {participants_max:g}; must be a whole number")
        room = await self._rooms.create(
            caller,
            text_field(body, "name"),
            empty_timeout_s=empty_timeout_s,
            participants_max=int(participants_max),
        )
        return json_response({"room": message_to_dict(room_to_proto(room))}, status=201)

    async def list_rooms(self, request: web.Request) -> web.Response:
        """GET /v1/rooms."""
        rooms = await self._rooms.list(await self._caller(request))
        return json_response({"rooms": [message_to_dict(room_to_proto(room)) for room in rooms]})

    async def delete_room(self, request: web.Request) -> web.Response:
        """DELETE /v1/rooms/{room}."""
        await self._rooms.delete(await self._caller(request), request.match_info["room"])
        return web.Response(status=204)

    async def join_room(self, request: web.Request) -> web.Response:
        """POST /v1/rooms/{room}/join."""
        caller, body = await self._caller(request), await read_body(request)
        access = await self._rooms.join(
            caller, request.match_info["room"], text_field(body, "identity"), text_field(body, "display_name")
        )
        return json_response({"access": message_to_dict(access_to_proto(access))})

    async def get_room_token(self, request: web.Request) -> web.Response:
        """POST /v1/rooms/{room}/token."""
        caller, body = await self._caller(request), await read_body(request)
        access = await self._rooms.access(caller, request.match_info["room"], text_field(body, "identity"))
        return json_response({"access": message_to_dict(access_to_proto(access))})

    async def _caller(self, request: web.Request) -> Identity:
        if self._local_identity is not None:
            return self._local_identity
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send the header 'Authorization: Bearer <token>'", reason="TOKEN_MISSING")
        return await self._verifier.verify(token)
