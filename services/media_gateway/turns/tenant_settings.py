"""Decides the settings of a tenant's agent: those of its backend with defaults, and the timing of turns."""

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
    """Timing of the end of a turn; all delays in seconds.

    Attributes:
        name: Name in the tenant's settings.
        vad_min_silence_s: Silence after which the voice activity detector reports the end of speech.
        endpointing_min_delay_s: Least delay from the end of speech to the end of the turn.
        endpointing_max_delay_s: Greatest such delay.
    """

    name: str
    vad_min_silence_s: float
    endpointing_min_delay_s: float
    endpointing_max_delay_s: float


# Measured at the caller with vendors emulated at 150/200/75 ms: safe 455/488 ms (p50/p95), fast 390/400 ms. Of 24
# sentences with commas, safe ended 3 turns too early and fast 14, so fast suits short commands only.
SAFE = TurnProfile("safe", 0.25, 0.05, 2.5)
FAST = TurnProfile("fast", 0.15, 0.05, 2.5)
_PROFILES = {profile.name: profile for profile in (SAFE, FAST)}


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """Settings of a tenant's agent.

    Attributes:
        instructions: System prompt, at most 20,000 characters.
        greeting: Text spoken when the agent joins; empty for none.
        language: BCP 47 tag of the conversation's language.
        voice: Voice id of speech; empty for its default.
        key_terms: Terms that transcription favours, at most 500 of 200 bytes each.
        profile: Timing of turns.
        attach_newest_frame: Whether unused frames are attached without a reference to something visible; None means
            the gateway's setting.
    """

    instructions: str = INSTRUCTIONS_DEFAULT
    greeting: str = ""
    language: str = LANGUAGE_DEFAULT
    voice: str = ""
    key_terms: tuple[str, ...] = ()
    profile: TurnProfile = SAFE
    attach_newest_frame: bool | None = None


def parse_tenant_settings(raw: object) -> TenantSettings:
    """Parse the settings in a backend's JSON response.

    Args:
        raw: Parsed JSON of any kind.

    Returns:
        The settings; a field that is missing or of another type has its default.
    """
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", raw) if isinstance(raw, Mapping) else {}
    raw_terms: object = fields.get("key_terms")
    terms = cast("list[object]", raw_terms) if isinstance(raw_terms, list) else []
    attach: object = fields.get("attach_newest_frame")
    return TenantSettings(
        instructions=_text(fields, "instructions", INSTRUCTIONS_DEFAULT)[:_INSTRUCTIONS_CHARS_MAX],
        greeting=_text(fields, "greeting", ""),
        language=_text(fields, "language", LANGUAGE_DEFAULT),
        voice=_text(fields, "voice", ""),
        key_terms=tuple(t for t in terms if isinstance(t, str) and 0 < len(t.encode()) <= _TERM_BYTES_MAX)[:_TERMS_MAX],
        profile=_PROFILES.get(_text(fields, "profile", SAFE.name), SAFE),
        attach_newest_frame=attach if isinstance(attach, bool) else None,
    )


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) and value else default
