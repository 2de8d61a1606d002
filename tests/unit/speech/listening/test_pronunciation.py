"""IPA to ARPAbet."""

from __future__ import annotations

import pytest

from services.speech.listening.pronunciation import phones


@pytest.mark.parametrize(
    ("ipa", "arpabet"),
    [
        ("hˈɑːkɪt", "HH AA K IH T"),
        ("lˈaɪv kˈɪt", "L AY V K IH T"),
        ("ɡɹæfˈɑːnə", "G R AE F AA N AH"),
        ("ænθɹˈɑːpɪk", "AE N TH R AA P IH K"),
        ("tʃˈiːnoʊ", "CH IY N OW"),
        ("ˈˌː", None),
        ("", None),
    ],
)
def test_ipa_becomes_arpabet(ipa, arpabet):
    assert arpabet == phones(ipa)
