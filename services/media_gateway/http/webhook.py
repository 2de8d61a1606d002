"""Receiver of LiveKit's webhooks."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from hocket.chassis.errors import Unauthenticated
from services.media_gateway import telemetry
from services.media_gateway.dispatch.watcher import RoomWatcher
from services.media_gateway.http.json_body import json_response

# Takes body and Authorization header; returns event id, event kind and LiveKit room. Raises Unauthenticated.
ReadWebhook = Callable[[str, str], tuple[str, str, str]]


class WebhookReceiver:
    """Handler of POST /v1/livekit/webhook."""

    def __init__(self, watcher: RoomWatcher, read_webhook: ReadWebhook) -> None:
        """Pass verified webhooks on.

        Args:
            watcher: Handles the events.
            read_webhook: Verifies and parses a webhook.
        """
        self._watcher = watcher
        self._read_webhook = read_webhook

    async def receive(self, request: web.Request) -> web.Response:
        """Verify and handle one webhook; an error response makes LiveKit retry it."""
        # Not request.json(): the signature covers the raw body, and the content type is application/webhook+json.
        body = (await request.read()).decode("utf-8", "replace")
        try:
            event_id, event, livekit_room = self._read_webhook(body, request.headers.get("Authorization", ""))
        except Unauthenticated:
            telemetry.webhooks.labels("refused").inc()
            raise
        is_new = await self._watcher.on_webhook(event_id, event, livekit_room)
        telemetry.webhooks.labels("handled" if is_new else "duplicate").inc()
        return json_response({"duplicate": not is_new})
