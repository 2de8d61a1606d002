"""The embedded recogniser: pocketsphinx, told what to expect by a language model of the tenant's key terms.

Good for trying things out: with the questions of a knowledge base as key terms it gets about 19 words of 20 of a
synthetic voice right; without them (open English) it is poor. It costs 40 ms of one core for a second of speech.
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
from services.speech.phrases import sentences
from services.speech.pronunciation import phones

RATE_HZ = 16_000
FRAMES_PER_S = 100
# A language model of names alone would turn all speech into names; below this the open model serves better.
PHRASES_MIN = 5
PHRASE_WORDS_MIN = 3
# What people say whatever the subject is.
EVERYDAY = ("yes", "no", "yes please", "no thank you", "thank you", "hello", "stop", "what can you do")
# Share of probability kept for word orders that no phrase has. Of 600 words of expected questions and 183 of rephrased
# ones (three voices) this got 20 and 19 wrong; pocketsphinx's default of 0.5 got 36 and 21.
_DISCOUNT = 0.15
# A second pass over the utterance costs 30 ms with the interpreter locked and wins nothing at this weight: 25 wrong
# words of 600 with and without it, measured on 30 questions in three voices.
# `cmninit` holds the cepstral means that the English model was trained at: what to assume of a speaker nobody has heard
# yet. With them first utterances have 27 wrong words of 600, without 34.
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
    """One set of key terms: the files made of them, and decoders at rest."""

    phrases: frozenset[str]
    folder: Path | None = None
    resting: list[PocketsphinxDecoder] = field(default_factory=list["PocketsphinxDecoder"])
    in_use: int = 0


class PocketsphinxDecoder:
    """One utterance at a time. Not thread-safe: the worker thread that made it calls it."""

    def __init__(self, model: _Model, options: dict[str, Any]) -> None:
        """Load, in about 10 ms with key terms and half a second without."""
        self.model = model
        self.phrases = model.phrases
        self._decoder: Any = _Decoder(**options)
        self._fresh_cmn = self._decoder.get_cmn(update=False)
        self._open = False

    def reset(self) -> None:
        """Forget the last speaker's voice."""
        self.finish()
        self._decoder.set_cmn(self._fresh_cmn)

    def begin(self) -> None:
        """Start an utterance."""
        self.finish()
        self._decoder.start_utt()
        self._open = True

    def hear(self, pcm: bytes) -> str:
        """Take 16 kHz PCM; returns the best guess at the whole utterance so far."""
        self._decoder.process_raw(pcm)
        best = self._decoder.hyp()
        return str(best.hypstr) if best else ""

    def words(self) -> tuple[Word, ...]:
        """The words of the best guess, placed from the utterance's first sample."""
        found: list[Word] = []
        for segment in self._decoder.seg() or ():
            if not segment.word.startswith(("<", "[", "+")):
                text = segment.word.partition("(")[0]
                start_s, end_s = segment.start_frame / FRAMES_PER_S, (segment.end_frame + 1) / FRAMES_PER_S
                found.append(Word(text, start_s, end_s))
        return tuple(found)

    def finish(self) -> str:
        """End the utterance; returns its text, empty when nothing was understood."""
        if not self._open:
            return ""
        self._decoder.end_utt()
        self._open = False
        best = self._decoder.hyp()
        return str(best.hypstr) if best else ""


class PocketsphinxModels:
    """Decoders by key terms. All methods belong to one worker thread; `close` follows once that has ended."""

    def __init__(self, pronounce: Pronounce, *, models_max: int = 64, resting_max: int = 4) -> None:
        """Keep at most `models_max` sets of key terms compiled, and `resting_max` decoders of each at rest."""
        self._pronounce = pronounce
        self._models_max = models_max
        self._resting_max = resting_max
        self._models: OrderedDict[tuple[str, ...], _Model] = OrderedDict()
        self._dictionary: dict[str, list[str]] = {}
        self._acoustic = Path(_get_model_path("en-us"))
        self._scratch = Path(tempfile.mkdtemp(prefix="hocket-speech-"))

    def load(self) -> None:
        """Read the pronouncing dictionary, in a tenth of a second."""
        with (self._acoustic / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
            for line in lines:
                word = line.partition(" ")[0].partition("(")[0]
                self._dictionary.setdefault(word, []).append(line)

    def take(self, key_terms: tuple[str, ...]) -> PocketsphinxDecoder:
        """A decoder that expects `key_terms`. Raises RuntimeError when the engine cannot load."""
        model = self._model(key_terms)
        decoder = model.resting.pop() if model.resting else PocketsphinxDecoder(model, self._options(model))
        decoder.reset()
        model.in_use += 1
        return decoder

    def give_back(self, decoder: PocketsphinxDecoder) -> None:
        """Let the next stream use it."""
        decoder.reset()
        model = decoder.model
        model.in_use -= 1
        if len(model.resting) < self._resting_max:
            model.resting.append(decoder)
        self._forget()

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
        found = sentences(key_terms)
        if sum(len(s.split()) >= PHRASE_WORDS_MIN for s in found) < PHRASES_MIN:
            found = ()
        model = self._models.get(found)
        if model is None:
            model = self._models[found] = self._compile(found) if found else _Model(frozenset())
        self._models.move_to_end(found)
        return model

    def _compile(self, phrases: tuple[str, ...]) -> _Model:
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        spoken = self._write_dictionary({w for p in (*phrases, *EVERYDAY) for w in p.split()}, folder / "terms.dict")
        # A phrase with a word that cannot be said is of no use to the recogniser.
        usable = [p for p in dict.fromkeys((*phrases, *EVERYDAY)) if spoken.issuperset(p.split())]
        sentences_file = io.StringIO("\n".join(f"<s> {p} </s>" for p in usable))
        language = _ArpaBoLM(sentfile=sentences_file, discount_mass=_DISCOUNT)
        language.compute()
        with (folder / "terms.lm").open("w", encoding="utf-8") as file:
            language.write(file)
        return _Model(frozenset(usable), folder)

    def _write_dictionary(self, words: set[str], path: Path) -> set[str]:
        unknown = sorted(w for w in words if w not in self._dictionary)
        ipa = self._pronounce(unknown) if unknown else dict[str, str]()
        said = {word: phones(ipa[word]) for word in ipa}
        with path.open("w", encoding="utf-8") as file:
            for word in sorted(words & self._dictionary.keys()):
                file.writelines(self._dictionary[word])
            file.writelines(f"{word} {spelled}\n" for word, spelled in said.items() if spelled)
        return (words & self._dictionary.keys()) | {w for w, spelled in said.items() if spelled}

    def _forget(self) -> None:
        """Drop the sets of key terms that were not used for longest, except those in use."""
        excess = len(self._models) - self._models_max
        for key in [k for k, m in self._models.items() if not m.in_use][: max(0, excess)]:
            folder = self._models.pop(key).folder
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
