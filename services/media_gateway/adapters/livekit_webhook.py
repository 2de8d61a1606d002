"""Verifies and parses the webhooks of the LiveKit server."""

from __future__ import annotations

import binascii

import jwt
from google.protobuf.json_format import ParseError
from livekit import api

from hocket.chassis.errors import Unauthenticated


class WebhookReader:
    """Checks that a webhook is signed with the LiveKit server's key and that its body is the signed one."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        """Verify with the API key of the LiveKit server and its secret."""
        self._receiver = api.WebhookReceiver(api.TokenVerifier(api_key, api_secret))

    def __call__(self, body: str, authorization: str) -> tuple[str, str, str]:
        """Verify and parse one webhook.

        Args:
            body: Body of the request.
            authorization: Value of its Authorization header.

        Returns:
            Event id, event kind and the room's name on the LiveKit server.

        Raises:
            Unauthenticated: Signature or body hash is wrong, or the body is malformed.
        """
        try:
            event = self._receiver.receive(body, authorization.removeprefix("Bearer "))
        except (jwt.PyJWTError, ParseError, binascii.Error, ValueError) as error:
            raise Unauthenticated(
                "webhook is not signed with this gateway's LiveKit API key; check webhook.api_key of livekit-server",
                reason="TOKEN_INVALID",
            ) from error
        except Exception as error:
            # WebhookReceiver raises a bare Exception for a wrong hash.
            raise Unauthenticated(f"webhook rejected: {error}", reason="TOKEN_INVALID") from error
        return event.id, event.event, event.room.name
