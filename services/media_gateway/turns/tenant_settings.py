"""Decides how a tenant is served: its settings with defaults, and the timing of turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

INSTRUCTIONS_DEFAULT = (
    "You are a helpful voice assistant. Answer in one to three short spoken sentences, without markup or lists. "
    "Use the passages you are given; when they do not hold the answer, say so."
)
LANGUAGE_DEFAULT = "en-US"
_INSTRUCTIONS_CHARS_MAX = 20_000
_TERMS_MAX = 500
_TERM_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class TurnProfile:
    """When a turn ends: silence the voice activity detector waits for, and the rest after it, in seconds."""

    name: str
    vad_min_silence_s: float
    endpointing_min_delay_s: float
    endpointing_max_delay_s: float


# Measured on the caller's clock with vendors at 150/200/75 ms: safe 455/488 ms (p50/p95), fast 390/400 ms; of 24
# sentences with commas, safe cut 3 short and fast 14. Fast is for command-like dialogue.
SAFE = TurnProfile("safe", 0.25, 0.05, 2.5)
FAST = TurnProfile("fast", 0.15, 0.05, 2.5)
_PROFILES = {profile.name: profile for profile in (SAFE, FAST)}


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What a tenant's backend says about its agent. An empty greeting is not spoken.

    `attach_newest_frame` asks for every new picture to go with the next turn; None leaves it to the gateway's setting.
    """

    instructions: str = INSTRUCTIONS_DEFAULT
    greeting: str = ""
    language: str = LANGUAGE_DEFAULT
    voice: str = ""
    key_terms: tuple[str, ...] = ()
    profile: TurnProfile = SAFE
    attach_newest_frame: bool | None = None


def tenant_settings(read: object) -> TenantSettings:
    """Settings from a backend's JSON; what is missing or of the wrong kind is left at its default."""
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", read) if isinstance(read, Mapping) else {}
    terms: object = fields.get("key_terms")
    given = cast("list[object]", terms) if isinstance(terms, list) else []
    attach: object = fields.get("attach_newest_frame")
    return TenantSettings(
        instructions=_text(fields, "instructions", INSTRUCTIONS_DEFAULT)[:_INSTRUCTIONS_CHARS_MAX],
        greeting=_text(fields, "greeting", ""),
        language=_text(fields, "language", LANGUAGE_DEFAULT),
        voice=_text(fields, "voice", ""),
        key_terms=tuple(t for t in given if isinstance(t, str) and 0 < len(t.encode()) <= _TERM_BYTES_MAX)[:_TERMS_MAX],
        profile=_PROFILES.get(_text(fields, "profile", SAFE.name), SAFE),
        attach_newest_frame=attach if isinstance(attach, bool) else None,
    )


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) and value else default
