"""JSON bodies of HTTP requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from hocket.chassis.errors import InvalidArgument, invalid_field


def json_response(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a response with a JSON body."""
    return web.json_response(value, status=status, headers=headers)


def message_to_dict(message: Message) -> dict[str, Any]:
    """Return a protobuf message as JSON values, with the proto's field names and with default values."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


async def read_body(request: web.Request) -> Mapping[str, Any]:
    """Return the body's JSON object; an absent body is an empty object.

    Raises:
        InvalidArgument: The body is not a JSON object.
    """
    try:
        body: Any = await request.json() if request.can_read_body else {}
    except ValueError as error:
        raise InvalidArgument("body is not JSON; send a JSON object") from error
    if not isinstance(body, dict):
        raise InvalidArgument("body is JSON but not an object; send a JSON object")
    return body  # pyright: ignore[reportUnknownVariableType] - JSON has no static type


def text_field(body: Mapping[str, Any], field: str) -> str:
    """Return a text field; empty if absent.

    Raises:
        InvalidArgument: The field is not a string.
    """
    value = body.get(field, "")
    if not isinstance(value, str):
        raise invalid_field(field, "must be a string")
    return value


def number_field(body: Mapping[str, Any], field: str) -> float | None:
    """Return a number field; None if absent.

    Raises:
        InvalidArgument: The field is not a number.
    """
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_field(field, "must be a number")
    return float(value)
