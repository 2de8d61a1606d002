"""The embedded engine's decoders: every one that was taken is given back, whenever its caller leaves."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.speech.adapters.embedded_listener import EmbeddedListener
from services.speech.endpointing import EndpointingRules
from services.speech.ports import ListeningConfig
from services.speech.preflight import PreflightRules


class SlowModels:
    """Takes as long to load as the test wants."""

    def __init__(self, pronounce) -> None:
        self.asked, self.loaded = threading.Event(), threading.Event()
        self.given_back = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def take(self, key_terms):
        self.asked.set()
        self.loaded.wait(5)
        return key_terms

    def give_back(self, decoder) -> None:
        self.given_back.append(decoder)


async def test_a_caller_who_leaves_while_the_engine_loads_keeps_no_decoder(monkeypatch):
    monkeypatch.setattr("services.speech.adapters.embedded_listener.PocketsphinxModels", SlowModels)
    async with EmbeddedListener(dict, EndpointingRules(), PreflightRules(), streams_max=1) as listener:

        async def listen() -> None:
            async with listener.open(ListeningConfig(16_000, "en", ("hello",))):
                pytest.fail("it opened")

        leaving = asyncio.create_task(listen())
        models = listener._models
        await asyncio.to_thread(models.asked.wait, 5)
        leaving.cancel()
        await asyncio.wait([leaving])
        models.loaded.set()
        await listener.run(lambda: None)
        assert models.given_back == [("hello",)]
