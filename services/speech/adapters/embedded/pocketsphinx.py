"""Pocketsphinx decoders with a language model compiled from the tenant's key terms.

For trials: with the questions of a knowledge base as key terms, 19 of 20 words of a synthetic voice are right; without
them (open English) few are. One second of speech costs 40 ms of one core.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pocketsphinx
import pocketsphinx.lm

from services.speech.events import Word
from services.speech.listening.key_phrases import key_phrases
from services.speech.listening.pronunciation import phones

RATE_HZ = 16_000
FRAMES_PER_S = 100
# A language model of a few names turns all speech into these names; below these bounds the open model is better.
PHRASES_MIN = 5
PHRASE_WORDS_MIN = 3
# Phrases of every conversation, added to each language model.
EVERYDAY = ("yes", "no", "yes please", "no thank you", "thank you", "hello", "stop", "what can you do")
# Share of the probability left for word sequences outside of the phrases. Of 600 words of expected questions and 183 of
# rephrased ones (three voices) 20 and 19 are wrong with it; 36 and 21 with pocketsphinx's default of 0.5.
_DISCOUNT = 0.15
# fwdflat, a second pass, costs 30 ms with the interpreter locked and gains nothing at this weight: 25 wrong words of
# 600 with and without it, measured on 30 questions in three voices.
# cmninit holds the cepstral means of the English model's training data, the start values for a new speaker: with them
# first utterances have 27 wrong words of 600, without them 34.
_OPTIONS = {
    "fwdflat": False,
    "lw": 9.0,
    "loglevel": "FATAL",
    "samprate": float(RATE_HZ),
    "cmninit": "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17",
}

# The library has no types.
_Decoder = cast("Callable[..., Any]", pocketsphinx.Decoder)  # pyright: ignore[reportUnknownMemberType]
_ArpaBoLM = cast("Callable[..., Any]", pocketsphinx.lm.ArpaBoLM)  # pyright: ignore[reportUnknownMemberType]
_get_model_path = cast("Callable[[str], str]", pocketsphinx.get_model_path)  # pyright: ignore[reportUnknownMemberType]

Pronounce = Callable[[Iterable[str]], Mapping[str, str]]


@dataclass(slots=True)
class _Model:
    """Compiled key terms: their files, and the idle decoders."""

    phrases: frozenset[str]
    folder: Path | None = None
    idle: list[PocketsphinxDecoder] = field(default_factory=list["PocketsphinxDecoder"])
    in_use: int = 0


class PocketsphinxDecoder:
    """Decodes one utterance at a time. Not thread-safe: only the worker thread that made it may call it."""

    def __init__(self, model: _Model, options: dict[str, Any]) -> None:
        """Load the model: about 10 ms with key terms, 500 ms without."""
        self.model = model
        self.phrases = model.phrases
        self._decoder: Any = _Decoder(**options)
        self._fresh_cmn = self._decoder.get_cmn(update=False)
        self._open = False

    def reset(self) -> None:
        """Drop the adaptation to the last speaker."""
        self.finish()
        self._decoder.set_cmn(self._fresh_cmn)

    def begin(self) -> None:
        """Start an utterance."""
        self.finish()
        self._decoder.start_utt()
        self._open = True

    def push_audio(self, pcm: bytes) -> str:
        """Decode 16 kHz PCM; return the hypothesis of the whole utterance so far."""
        self._decoder.process_raw(pcm)
        best = self._decoder.hyp()
        return str(best.hypstr) if best else ""

    def words(self) -> tuple[Word, ...]:
        """Return the words of the hypothesis with times from the first sample of the utterance."""
        found: list[Word] = []
        for segment in self._decoder.seg() or ():
            if not segment.word.startswith(("<", "[", "+")):
                text = segment.word.partition("(")[0]
                start_s, end_s = segment.start_frame / FRAMES_PER_S, (segment.end_frame + 1) / FRAMES_PER_S
                found.append(Word(text, start_s, end_s))
        return tuple(found)

    def finish(self) -> str:
        """End the utterance; return its text, empty where no word was recognised."""
        if not self._open:
            return ""
        self._decoder.end_utt()
        self._open = False
        best = self._decoder.hyp()
        return str(best.hypstr) if best else ""


class PocketsphinxModels:
    """Decoders by key terms. One worker thread calls all methods; call `close` after that thread has ended."""

    def __init__(self, pronounce: Pronounce, *, models_max: int = 64, idle_max: int = 4) -> None:
        """Start without any model.

        Args:
            pronounce: Returns the IPA of words that the dictionary lacks.
            models_max: Sets of key terms kept compiled; the least recently used one goes first.
            idle_max: Idle decoders kept per set.
        """
        self._pronounce = pronounce
        self._models_max = models_max
        self._idle_max = idle_max
        self._models: OrderedDict[tuple[str, ...], _Model] = OrderedDict()
        self._dictionary: dict[str, list[str]] = {}
        self._acoustic = Path(_get_model_path("en-us"))
        self._scratch = Path(tempfile.mkdtemp(prefix="hocket-speech-"))

    def load(self) -> None:
        """Load the pronouncing dictionary; takes about 100 ms."""
        with (self._acoustic / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
            for line in lines:
                word = line.partition(" ")[0].partition("(")[0]
                self._dictionary.setdefault(word, []).append(line)

    def take(self, key_terms: tuple[str, ...]) -> PocketsphinxDecoder:
        """Return a decoder with a language model of `key_terms`. Raises RuntimeError if pocketsphinx fails to load."""
        model = self._model(key_terms)
        decoder = model.idle.pop() if model.idle else PocketsphinxDecoder(model, self._options(model))
        decoder.reset()
        model.in_use += 1
        return decoder

    def give_back(self, decoder: PocketsphinxDecoder) -> None:
        """Return a decoder for the next stream."""
        decoder.reset()
        model = decoder.model
        model.in_use -= 1
        if len(model.idle) < self._idle_max:
            model.idle.append(decoder)
        self._evict()

    def close(self) -> None:
        """Remove the files."""
        self._models.clear()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _options(self, model: _Model) -> dict[str, Any]:
        acoustic = {**_OPTIONS, "hmm": str(self._acoustic / "en-us")}
        if model.folder is None:
            english = {"lm": str(self._acoustic / "en-us.lm.bin"), "dict": str(self._acoustic / "cmudict-en-us.dict")}
            return acoustic | english
        return acoustic | {"lm": str(model.folder / "terms.lm"), "dict": str(model.folder / "terms.dict")}

    def _model(self, key_terms: tuple[str, ...]) -> _Model:
        found = key_phrases(key_terms)
        if sum(len(s.split()) >= PHRASE_WORDS_MIN for s in found) < PHRASES_MIN:
            found = ()
        model = self._models.get(found)
        if model is None:
            model = self._models[found] = self._compile(found) if found else _Model(frozenset())
        self._models.move_to_end(found)
        return model

    def _compile(self, phrases: tuple[str, ...]) -> _Model:
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        pronounced = self._write_dictionary(
            {w for p in (*phrases, *EVERYDAY) for w in p.split()}, folder / "terms.dict"
        )
        # Pocketsphinx cannot use a phrase with a word that has no pronunciation.
        usable = [p for p in dict.fromkeys((*phrases, *EVERYDAY)) if pronounced.issuperset(p.split())]
        sentences_file = io.StringIO("\n".join(f"<s> {p} </s>" for p in usable))
        language = _ArpaBoLM(sentfile=sentences_file, discount_mass=_DISCOUNT)
        language.compute()
        with (folder / "terms.lm").open("w", encoding="utf-8") as file:
            language.write(file)
        return _Model(frozenset(usable), folder)

    def _write_dictionary(self, words: set[str], path: Path) -> set[str]:
        unknown = sorted(w for w in words if w not in self._dictionary)
        ipa = self._pronounce(unknown) if unknown else dict[str, str]()
        pronounced = {word: phones(ipa[word]) for word in ipa}
        with path.open("w", encoding="utf-8") as file:
            for word in sorted(words & self._dictionary.keys()):
                file.writelines(self._dictionary[word])
            file.writelines(f"{word} {spelled}\n" for word, spelled in pronounced.items() if spelled)
        return (words & self._dictionary.keys()) | {w for w, spelled in pronounced.items() if spelled}

    def _evict(self) -> None:
        """Drop the least recently used sets of key terms, except those in use."""
        excess = len(self._models) - self._models_max
        for key in [k for k, m in self._models.items() if not m.in_use][: max(0, excess)]:
            folder = self._models.pop(key).folder
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
