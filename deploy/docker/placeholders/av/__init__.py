"""Placeholder for PyAV, which the image of media-gateway leaves out: FFmpeg with parts under the GPL, 128 MB.

livekit-agents imports PyAV, and uses it to record sessions and to decode audio files; hocket does neither.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    message = f"av.{name}: this image has no PyAV (recordings, audio files); build it with --build-arg WITHOUT="
    raise AttributeError(message)
