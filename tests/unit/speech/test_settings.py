"""Defaults and consistency of the settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.speech import settings as settings_module
from services.speech.settings import Settings


def test_the_defaults_need_no_key():
    settings = Settings()
    assert (settings.deepgram_api_key, settings.elevenlabs_api_key, settings.ratelimit_target) == (None, None, None)
    assert settings.endpointing.turn_silence_ms >= settings.endpointing.utterance_silence_ms


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"utterance_silence_ms": 400, "turn_silence_ms": 300}, "utterance_silence_ms must not exceed"),
        ({"deepgram_api_key": "k", "deepgram_model": "flux-9"}, "no price is known for deepgram flux-9"),
        ({"elevenlabs_api_key": "k", "elevenlabs_model": "x"}, "no price is known for elevenlabs x"),
    ],
)
def test_inconsistent_settings_are_refused_by_name(values, problem):
    with pytest.raises(ValidationError, match=problem):
        Settings(**values)


def test_a_contract_price_allows_a_model_without_list_price():
    settings = Settings(deepgram_api_key="k", deepgram_model="flux-9", stt_price_micro_usd_per_minute=5)
    assert settings.stt_price.cost_micro_usd(120_000) == 10


def test_a_vendor_url_of_a_wrong_scheme_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"deepgram_url\n.*must start with ws:// or wss://"):
        Settings(deepgram_url="https://api.deepgram.com")
    with pytest.raises(ValidationError, match=r"elevenlabs_url\n.*must start with http:// or https://"):
        Settings(elevenlabs_url="wss://api.elevenlabs.io")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, "deepgram_api_key is not set and the embedded recogniser is not installed"),
        ({"elevenlabs_api_key": "k"}, "embedded recogniser is not installed"),
        ({"deepgram_api_key": "k"}, "elevenlabs_api_key is not set and the embedded voice is not installed"),
    ],
)
def test_without_engines_each_key_is_required(monkeypatch, keys, problem):
    monkeypatch.setattr(settings_module, "find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=rf"{problem}.*install hocket\[speech-embedded\]"):
        Settings(**keys)


def test_with_both_keys_no_engine_is_required(monkeypatch):
    monkeypatch.setattr(settings_module, "find_spec", lambda _name: None)
    assert Settings(deepgram_api_key="k", elevenlabs_api_key="k").elevenlabs_api_key
