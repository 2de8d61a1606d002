"""A tenant's settings with their defaults."""

from __future__ import annotations

import pytest

from services.media_gateway.turns import tenant_settings


@pytest.mark.parametrize("read", [None, [], "text", {}, {"profile": "reckless"}, {"instructions": 1, "voice": None}])
def test_what_a_backend_leaves_out_or_gets_wrong_stays_at_its_default(read):
    assert tenant_settings.tenant_settings(read) == tenant_settings.TenantSettings()


def test_what_a_backend_says_is_taken():
    settings = tenant_settings.tenant_settings(
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
