"""The embedded voice: espeak-ng out of a wheel, by ctypes. Intelligible, robotic, free, and here within milliseconds.

The library keeps global state and is not thread-safe, so one worker thread owns it for the whole process.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import espeakng_loader
import numpy as np

from hocket.chassis.errors import invalid_field
from services.speech.errors import engine_failed
from services.speech.events import Voiced, Word
from services.speech.ports import SpeakingConfig
from services.speech.prices import THOUSAND_CHARACTERS, free
from services.speech.resampling import Resampler, Samples
from services.speech.segments import Segment

PIECE_MS = 20
# Quieter than this (of 32768) at the start of a segment is silence that the caller would have to wait for.
_SILENCE_AMPLITUDE = 64
_CHARACTER_S = 0.07
# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_BUFFER_MS = 20
_CHARS_UTF8 = 1
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_POS_CHARACTER = 1
_PHONEMES_IPA = 0x02


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _VoiceRow(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class _Sound:
    """What one callback brought: samples at the library's rate, and words as (position, length, milliseconds)."""

    samples: Samples
    words: tuple[tuple[int, int, int], ...]


class EspeakLibrary:
    """The one espeak-ng of this process, and the only thread that touches it."""

    _one: EspeakLibrary | None = None
    _guard = threading.Lock()

    def __init__(self) -> None:
        """Use `shared`, which makes the only instance."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="espeak")
        self._sink: Callable[[_Sound], bool] = _nowhere
        self._worker.submit(self._load).result()

    @classmethod
    def shared(cls) -> EspeakLibrary:
        """The instance of this process; loaded on first use, in a millisecond."""
        with cls._guard:
            if cls._one is None:
                cls._one = EspeakLibrary()
            return cls._one

    def _load(self) -> None:
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
        self.rate_hz = int(
            self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, str(data).encode(), 0)
        )
        if self.rate_hz <= 0:
            raise OSError("espeak-ng found no data")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRow))
        # The library keeps the pointer: the callback must live as long as it does.
        self._callback = _Callback(self._on_sound)
        self._library.espeak_SetSynthCallback(self._callback)
        self.voices = self._list_voices()
        variants = data / "voices" / "!v"
        self.variants = frozenset(p.name for p in variants.iterdir()) if variants.is_dir() else frozenset[str]()

    def _list_voices(self) -> dict[str, str]:
        """Identifier of each voice by language tag, the better one first."""
        rows = self._library.espeak_ListVoices(None)
        found: dict[str, str] = {}
        at = 0
        while rows[at]:
            row = rows[at].contents
            # A priority byte stands before the tag.
            tag = ctypes.string_at(row.languages + 1).decode().lower()
            found.setdefault(tag, row.identifier.decode())
            at += 1
        return found

    def _on_sound(self, wave: Any, count: int, events: Any) -> int:
        words: list[tuple[int, int, int]] = []
        at = 0
        while events[at].type != _EVENT_LIST_TERMINATED:
            event = events[at]
            if event.type == _EVENT_WORD:
                words.append((event.text_position, event.length, event.audio_position))
            at += 1
        samples = np.frombuffer(ctypes.string_at(wave, count * 2), np.int16) if count > 0 else np.zeros(0, np.int16)
        return 0 if self._sink(_Sound(samples, tuple(words))) else 1

    def identifier(self, voice: str) -> str | None:
        """What espeak-ng calls `voice` ("en-us", "en-gb+f3"); None when it has no such voice or variant."""
        tag, _, variant = voice.partition("+")
        found = self.voices.get(tag.lower())
        if found is None or (variant and variant not in self.variants) or voice.endswith("+"):
            return None
        return f"{found}+{variant}" if variant else found

    def synthesize(self, text: str, identifier: str, sink: Callable[[_Sound], bool]) -> Future[None]:
        """Queue `text`; `sink` gets the sound on the worker thread and answers whether to go on."""
        return self._worker.submit(self._synthesize, text, identifier, sink)

    def _synthesize(self, text: str, identifier: str, sink: Callable[[_Sound], bool]) -> None:
        self._select(identifier)
        self._sink = sink
        encoded = text.encode() + b"\0"
        try:
            failed = self._library.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        finally:
            self._sink = _nowhere
        if failed:
            raise OSError(f"espeak_Synth returned {failed}")

    def _select(self, identifier: str) -> None:
        if self._library.espeak_SetVoiceByName(identifier.encode()) != 0:
            raise OSError(f"espeak-ng cannot load the voice {identifier}")

    def pronounce(self, words: Iterable[str]) -> dict[str, str]:
        """How American English says each word, in IPA. Waits for the worker: not for the event loop's thread."""
        return self._worker.submit(self._pronounce, tuple(words)).result()

    def _pronounce(self, words: tuple[str, ...]) -> dict[str, str]:
        self._select(self.voices["en-us"])
        return {word: self._phonemes(word) for word in words}

    def _phonemes(self, word: str) -> str:
        text = ctypes.c_char_p(word.encode())
        said = cast("bytes | None", self._library.espeak_TextToPhonemes(ctypes.byref(text), _CHARS_UTF8, _PHONEMES_IPA))
        return (said or b"").decode()


def _nowhere(_: _Sound) -> bool:
    return False


class EspeakVoice:
    """ports.Voice over espeak-ng."""

    def __init__(self, library: EspeakLibrary, *, default_voice: str) -> None:
        """Speak with `default_voice` where a caller names neither voice nor language. Raises InvalidArgument."""
        self._library = library
        self._default = self._known("embedded_voice", default_voice)
        self.price = free("embedded", "espeak-ng", per=THOUSAND_CHARACTERS)

    def check(self, config: SpeakingConfig) -> int:
        """The rate wanted, or espeak-ng's own 22050 Hz."""
        self._identifier(config)
        return config.sample_rate_hz or self._library.rate_hz

    def _identifier(self, config: SpeakingConfig) -> str:
        if config.voice:
            return self._known("config.voice", config.voice)
        if not config.language:
            return self._default
        tag = config.language.lower()
        for name in (tag, tag.partition("-")[0]):
            if found := self._library.identifier(name):
                return found
        raise invalid_field("config.language", 'the embedded voice does not speak it; send one like "en-US" or "fr"')

    def _known(self, field: str, voice: str) -> str:
        found = self._library.identifier(voice)
        if found is None:
            raise invalid_field(field, 'no such voice; send one like "en-us", "en-gb" or "en-us+f3"')
        return found

    async def speak(self, segment: Segment, config: SpeakingConfig) -> AsyncGenerator[Voiced, None]:
        """The voice of `segment` in pieces of 20 ms; leading silence is cut, the segment's own pause kept."""
        loop = asyncio.get_running_loop()
        # A segment is short and made in milliseconds: what is queued is bounded by its length.
        sounds: asyncio.Queue[_Sound | None] = asyncio.Queue()
        wanted = True

        def sink(sound: _Sound) -> bool:
            if wanted:
                loop.call_soon_threadsafe(sounds.put_nowait, sound)
            return wanted

        job = asyncio.wrap_future(self._library.synthesize(segment.spoken, self._identifier(config), sink))
        job.add_done_callback(lambda _: sounds.put_nowait(None))
        shaping = _Shaping(segment, self._library.rate_hz, config.sample_rate_hz or self._library.rate_hz)
        try:
            while (sound := await sounds.get()) is not None:
                for piece in shaping.push(sound):
                    yield piece
            try:
                await job
            except OSError as error:
                raise engine_failed("embedded", "the voice failed") from error
            for piece in shaping.flush():
                yield piece
        finally:
            wanted = False
            job.cancel()


class _Shaping:
    """Cuts the silence before a segment, adds the pause it asks for, resamples, and cuts into pieces."""

    def __init__(self, segment: Segment, from_hz: int, to_hz: int) -> None:
        self._text = segment.spoken
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._pause = np.zeros(from_hz * segment.pause_ms // 1000, np.int16)
        self._resampler = Resampler(from_hz, to_hz)
        self._piece_bytes = to_hz * PIECE_MS // 1000 * 2
        self._begun = False
        self._cut_samples = 0
        self._pending = bytearray()
        self._given_bytes = 0
        self._words: dict[int, Word] = {}
        self._said: set[int] = set()

    def push(self, sound: _Sound) -> list[Voiced]:
        samples = sound.samples
        if not self._begun and len(samples):
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _SILENCE_AMPLITUDE)
            self._begun = bool(len(loud))
            quiet = int(loud[0]) if self._begun else len(samples)
            self._cut_samples += quiet
            samples = np.concatenate([self._pause, samples[quiet:]]) if self._begun else samples[:0]
        for position, length, at_ms in sound.words:
            self._add_word(position, length, at_ms / 1000)
        self._pending += self._resampler.push(samples).tobytes()
        return self._pieces(self._piece_bytes)

    def flush(self) -> list[Voiced]:
        self._pending += self._resampler.flush().tobytes()
        return self._pieces(1)

    def _add_word(self, position: int, length: int, at_s: float) -> None:
        text = self._text[position - 1 : position - 1 + length]
        start_s = max(0.0, at_s + (len(self._pause) - self._cut_samples) / self._from_hz)
        if text and position not in self._said:
            # Of a word that is said as several ("7.30"), the first counts. Its end is a guess: nobody tells.
            self._said.add(position)
            self._words[position] = Word(text, start_s, start_s + _CHARACTER_S * length)

    def _pieces(self, bytes_min: int) -> list[Voiced]:
        made: list[Voiced] = []
        while len(self._pending) >= max(bytes_min, 1):
            pcm = bytes(self._pending[: self._piece_bytes])
            del self._pending[: self._piece_bytes]
            self._given_bytes += len(pcm)
            until_s = self._given_bytes / 2 / self._to_hz
            due = [p for p, w in self._words.items() if w.start_s < until_s]
            made.append(Voiced(pcm, tuple(self._words.pop(p) for p in due)))
        return made
