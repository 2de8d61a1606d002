"""RoomService as JSON over HTTP, and the receiver of LiveKit webhooks."""
