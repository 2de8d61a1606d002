"""Decoders of the embedded engine are returned when a stream ends early."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.speech.adapters.embedded.speech_to_text import EmbeddedSpeechToText
from services.speech.listening.endpointing import EndpointingRules
from services.speech.listening.preflight import PreflightRules
from services.speech.ports import TranscriptionConfig


class SlowModels:
    """Takes as long to load as the test wants."""

    def __init__(self, pronounce) -> None:
        self.loading, self.loaded = threading.Event(), threading.Event()
        self.given_back = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def take(self, key_terms):
        self.loading.set()
        self.loaded.wait(5)
        return key_terms

    def give_back(self, decoder) -> None:
        self.given_back.append(decoder)


async def test_a_stream_cancelled_while_its_decoder_loads_returns_the_decoder(monkeypatch):
    monkeypatch.setattr("services.speech.adapters.embedded.speech_to_text.PocketsphinxModels", SlowModels)
    async with EmbeddedSpeechToText(dict, EndpointingRules(), PreflightRules(), streams_max=1) as stt:

        async def listen() -> None:
            async with stt.open(TranscriptionConfig(16_000, "en", ("hello",))):
                pytest.fail("it opened")

        leaving = asyncio.create_task(listen())
        models = stt._models
        await asyncio.to_thread(models.loading.wait, 5)  # type: ignore[attr-defined]
        leaving.cancel()
        await asyncio.wait([leaving])
        models.loaded.set()  # type: ignore[attr-defined]
        await stt.run(lambda: None)
        assert models.given_back == [("hello",)]  # type: ignore[attr-defined]
