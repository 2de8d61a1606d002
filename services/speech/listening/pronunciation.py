"""Converts IPA, as espeak-ng writes it, into the phones of the recogniser (ARPAbet, CMU set).

Names and products, typical key terms, are missing from the pronouncing dictionary; espeak-ng pronounces any word.
"""

from __future__ import annotations

# Vowels before r are two phones in the CMU set.
_PHONES = {
    "aɪə": "AY AH", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "tʃ": "CH", "dʒ": "JH",
    "ɪɹ": "IH R", "ɛɹ": "EH R", "ʊɹ": "UH R", "ɑːɹ": "AA R", "oːɹ": "AO R", "ɔːɹ": "AO R", "ɜː": "ER", "əl": "AH L",
    "ɚ": "ER", "ɝ": "ER", "ɑː": "AA", "ɔː": "AO", "iː": "IY", "uː": "UW", "oː": "AO", "eː": "EH", "aː": "AA",
    "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "æ": "AE", "a": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɛ": "EH", "e": "EH",
    "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ʊ": "UH", "u": "UW", "o": "OW", "p": "P", "b": "B", "t": "T", "d": "D", "k": "K",
    "ɡ": "G", "g": "G", "m": "M", "n": "N", "ŋ": "NG", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z",
    "ʃ": "SH", "ʒ": "ZH", "h": "HH", "l": "L", "ɫ": "L", "ɹ": "R", "r": "R", "w": "W", "j": "Y", "ɾ": "T", "ʔ": "T",
    "x": "K", "ç": "HH", "ɬ": "L", "ɲ": "N Y", "n̩": "AH N", "l̩": "AH L",
}  # fmt: skip
# Longest symbols first: "aɪə" before "aɪ".
_LENGTHS = tuple(sorted({len(symbol) for symbol in _PHONES}, reverse=True))


def phones(ipa: str) -> str | None:
    """Return the ARPAbet phones of one word ("hˈɑːkɪt" gives "HH AA K IH T"); None without any known symbol."""
    found: list[str] = []
    at = 0
    while at < len(ipa):
        for length in _LENGTHS:
            phone = _PHONES.get(ipa[at : at + length])
            if phone is not None and at + length <= len(ipa):
                found.append(phone)
                at += length
                break
        else:
            at += 1  # stress, length and tie marks
    return " ".join(found) or None
