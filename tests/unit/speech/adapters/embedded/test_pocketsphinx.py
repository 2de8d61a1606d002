"""Reuse and eviction of pocketsphinx models."""

from __future__ import annotations

import numpy as np

from services.speech.adapters.embedded.pocketsphinx import RATE_HZ, PocketsphinxModels

TERMS = tuple(f"when does office {name} open" for name in ("one", "two", "three", "four", "five"))


def test_a_returned_decoder_has_no_adaptation_to_its_speaker():
    models = PocketsphinxModels(lambda words: dict.fromkeys(words, ""))
    models.load()
    first = models.take(TERMS)
    at_first = first._decoder.get_cmn(update=False)
    first.begin()
    first.push_audio(np.random.default_rng(1).normal(0, 8000, 3 * RATE_HZ).astype("<i2").tobytes())
    first.finish()
    assert first._decoder.get_cmn(update=True) != at_first
    models.give_back(first)
    again = models.take(TERMS)
    assert again is first
    assert again._decoder.get_cmn(update=False) == at_first
    models.close()


def test_models_above_the_maximum_are_evicted_unless_in_use():
    models = PocketsphinxModels(lambda words: dict.fromkeys(words, ""), models_max=1)
    models.load()
    others = tuple(term.replace("office", "shop") for term in TERMS)
    held, other = models.take(TERMS), models.take(others)
    models.give_back(other)
    assert [model.in_use for model in models._models.values()] == [1]
    assert held.model.folder.exists()
    models.give_back(held)
    models.close()
    assert not held.model.folder.exists()
