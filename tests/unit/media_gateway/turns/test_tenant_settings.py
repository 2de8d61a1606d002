"""Settings of a tenant's agent and their defaults."""

from __future__ import annotations

import pytest

from services.media_gateway.turns import tenant_settings


@pytest.mark.parametrize("raw", [None, [], "text", {}, {"profile": "reckless"}, {"instructions": 1, "voice": None}])
def test_missing_and_malformed_fields_have_their_defaults(raw):
    assert tenant_settings.parse_tenant_settings(raw) == tenant_settings.TenantSettings()


def test_valid_fields_replace_the_defaults():
    settings = tenant_settings.parse_tenant_settings(
        {
            "instructions": "Be brief.",
            "greeting": "Hello!",
            "language": "de-DE",
            "voice": "Anna",
            "key_terms": ["Hocket", 7, "", "x" * 201],
            "profile": "fast",
            "attach_newest_frame": True,
        }
    )
    assert (settings.instructions, settings.greeting, settings.voice) == ("Be brief.", "Hello!", "Anna")
    assert settings.key_terms == ("Hocket",)
    assert settings.profile is tenant_settings.FAST
    assert settings.attach_newest_frame is True


def test_the_safe_profile_waits_longer_than_the_fast_one():
    assert tenant_settings.SAFE.vad_min_silence_s > tenant_settings.FAST.vad_min_silence_s
