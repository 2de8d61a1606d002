"""Reads and verifies the webhooks that a LiveKit server sends."""

from __future__ import annotations

import binascii

import jwt
from google.protobuf.json_format import ParseError
from livekit import api

from hocket.chassis.errors import Unauthenticated


class WebhookReader:
    """Proves that a webhook was signed with the server's key and that its body is the one signed."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        """Verify by the key of the LiveKit server."""
        self._receiver = api.WebhookReceiver(api.TokenVerifier(api_key, api_secret))

    def __call__(self, body: str, authorization: str) -> tuple[str, str, str]:
        """(event id, event, room name). Raises Unauthenticated."""
        try:
            event = self._receiver.receive(body, authorization.removeprefix("Bearer "))
        except (jwt.PyJWTError, ParseError, binascii.Error, ValueError) as error:
            raise Unauthenticated("the webhook is not signed by the LiveKit server", reason="TOKEN_INVALID") from error
        except Exception as error:
            raise Unauthenticated(f"the webhook is not genuine: {error}", reason="TOKEN_INVALID") from error
        return event.id, event.event, event.room.name
