"""Decoders that serve one stream after the other: nothing of a speaker is left for the next."""

from __future__ import annotations

import numpy as np

from services.speech.adapters.pocketsphinx_recogniser import RATE_HZ, PocketsphinxModels

TERMS = tuple(f"when does office {name} open" for name in ("one", "two", "three", "four", "five"))


def test_a_decoder_given_back_has_forgotten_its_speaker():
    models = PocketsphinxModels(lambda words: dict.fromkeys(words, ""))
    models.load()
    first = models.take(TERMS)
    at_first = first._decoder.get_cmn(update=False)
    first.begin()
    first.hear(np.random.default_rng(1).normal(0, 8000, 3 * RATE_HZ).astype("<i2").tobytes())
    first.finish()
    assert first._decoder.get_cmn(update=True) != at_first
    models.give_back(first)
    again = models.take(TERMS)
    assert again is first
    assert again._decoder.get_cmn(update=False) == at_first
    models.close()


def test_only_so_many_sets_of_key_terms_are_kept_and_none_that_is_in_use():
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
