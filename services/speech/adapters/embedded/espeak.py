"""Embedded text to speech: espeak-ng from a wheel, through ctypes. Intelligible, robotic, ready within milliseconds.

The library has global state and is not thread-safe: one worker thread owns it for the whole process.
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
from services.speech.events import AudioChunk, Word
from services.speech.ports import SynthesisConfig
from services.speech.prices import THOUSAND_CHARACTERS, free
from services.speech.resampling import Resampler, Samples
from services.speech.speaking.segmenter import Segment

CHUNK_MS = 20
# Samples below this (of 32768) at the start of a segment are silence; cutting them lowers the time to first audio.
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
class _SynthOutput:
    """Output of one callback: samples at the library's rate, and words as (position, length, milliseconds)."""

    samples: Samples
    words: tuple[tuple[int, int, int], ...]


class EspeakLibrary:
    """The espeak-ng of this process, and the only thread that calls it."""

    _instance: EspeakLibrary | None = None
    _instance_lock = threading.Lock()

    def __init__(self) -> None:
        """Load the library. Call `shared` instead: the library allows one instance per process."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="espeak")
        self._sink: Callable[[_SynthOutput], bool] = _discard
        self._worker.submit(self._load).result()

    @classmethod
    def shared(cls) -> EspeakLibrary:
        """Return the instance of this process; the first call loads it in about a millisecond."""
        with cls._instance_lock:
            if cls._instance is None:
                cls._instance = EspeakLibrary()
            return cls._instance

    def _load(self) -> None:
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
        self.rate_hz = int(
            self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, str(data).encode(), 0)
        )
        if self.rate_hz <= 0:
            raise OSError("espeak-ng found no data; reinstall espeakng-loader")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRow))
        # The library keeps the pointer: the callback must stay referenced.
        self._callback = _Callback(self._on_output)
        self._library.espeak_SetSynthCallback(self._callback)
        self.voices = self._list_voices()
        variants = data / "voices" / "!v"
        self.variants = frozenset(p.name for p in variants.iterdir()) if variants.is_dir() else frozenset[str]()

    def _list_voices(self) -> dict[str, str]:
        """Return the identifier of the best voice of each language tag."""
        rows = self._library.espeak_ListVoices(None)
        found: dict[str, str] = {}
        at = 0
        while rows[at]:
            row = rows[at].contents
            # A priority byte precedes the tag.
            tag = ctypes.string_at(row.languages + 1).decode().lower()
            found.setdefault(tag, row.identifier.decode())
            at += 1
        return found

    def _on_output(self, wave: Any, count: int, events: Any) -> int:
        words: list[tuple[int, int, int]] = []
        at = 0
        while events[at].type != _EVENT_LIST_TERMINATED:
            event = events[at]
            if event.type == _EVENT_WORD:
                words.append((event.text_position, event.length, event.audio_position))
            at += 1
        samples = np.frombuffer(ctypes.string_at(wave, count * 2), np.int16) if count > 0 else np.zeros(0, np.int16)
        return 0 if self._sink(_SynthOutput(samples, tuple(words))) else 1

    def identifier(self, voice: str) -> str | None:
        """Return espeak-ng's identifier of `voice` ("en-us", "en-gb+f3"); None without such a voice or variant."""
        tag, _, variant = voice.partition("+")
        found = self.voices.get(tag.lower())
        if found is None or (variant and variant not in self.variants) or voice.endswith("+"):
            return None
        return f"{found}+{variant}" if variant else found

    def synthesize(self, text: str, identifier: str, sink: Callable[[_SynthOutput], bool]) -> Future[None]:
        """Queue `text` on the worker thread; `sink` receives each output there and returns whether to go on."""
        return self._worker.submit(self._synthesize, text, identifier, sink)

    def _synthesize(self, text: str, identifier: str, sink: Callable[[_SynthOutput], bool]) -> None:
        self._select(identifier)
        self._sink = sink
        encoded = text.encode() + b"\0"
        try:
            failed = self._library.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        finally:
            self._sink = _discard
        if failed:
            raise OSError(f"espeak_Synth returned {failed}")

    def _select(self, identifier: str) -> None:
        if self._library.espeak_SetVoiceByName(identifier.encode()) != 0:
            raise OSError(f"espeak-ng cannot load the voice {identifier}")

    def pronounce(self, words: Iterable[str]) -> dict[str, str]:
        """Return the IPA of each word in American English. Blocks on the worker: never call it on the event loop."""
        return self._worker.submit(self._pronounce, tuple(words)).result()

    def _pronounce(self, words: tuple[str, ...]) -> dict[str, str]:
        self._select(self.voices["en-us"])
        return {word: self._phonemes(word) for word in words}

    def _phonemes(self, word: str) -> str:
        text = ctypes.c_char_p(word.encode())
        said = cast("bytes | None", self._library.espeak_TextToPhonemes(ctypes.byref(text), _CHARS_UTF8, _PHONEMES_IPA))
        return (said or b"").decode()


def _discard(_: _SynthOutput) -> bool:
    return False


class EspeakTextToSpeech:
    """`ports.TextToSpeech` over espeak-ng."""

    def __init__(self, library: EspeakLibrary, *, default_voice: str) -> None:
        """Use `default_voice` for requests without voice and language. Raises InvalidArgument if unknown."""
        self._library = library
        self._default = self._known("embedded_voice", default_voice)
        self.price = free("embedded", "espeak-ng", per=THOUSAND_CHARACTERS)

    def output_rate_hz(self, config: SynthesisConfig) -> int:
        """Return the requested rate, or 22050, espeak-ng's own. Raises InvalidArgument for an unknown voice."""
        self._identifier(config)
        return config.sample_rate_hz or self._library.rate_hz

    def _identifier(self, config: SynthesisConfig) -> str:
        if config.voice:
            return self._known("config.voice", config.voice)
        if not config.language:
            return self._default
        tag = config.language.lower()
        for name in (tag, tag.partition("-")[0]):
            if found := self._library.identifier(name):
                return found
        raise invalid_field(
            "config.language",
            f'{config.language!r} is not supported by the embedded engine; send for instance "en-US" or "fr"',
        )

    def _known(self, field: str, voice: str) -> str:
        found = self._library.identifier(voice)
        if found is None:
            raise invalid_field(
                field, f'{voice!r} is no voice of the embedded engine; send for instance "en-us" or "en-us+f3"'
            )
        return found

    async def synthesize(self, segment: Segment, config: SynthesisConfig) -> AsyncGenerator[AudioChunk, None]:
        """Yield the audio of `segment` in chunks of 20 ms, without leading silence, after the segment's pause."""
        loop = asyncio.get_running_loop()
        # Unbounded on purpose: a segment has at most 400 characters.
        outputs: asyncio.Queue[_SynthOutput | None] = asyncio.Queue()
        wanted = True

        def sink(output: _SynthOutput) -> bool:
            if wanted:
                loop.call_soon_threadsafe(outputs.put_nowait, output)
            return wanted

        job = asyncio.wrap_future(self._library.synthesize(segment.spoken, self._identifier(config), sink))
        job.add_done_callback(lambda _: outputs.put_nowait(None))
        builder = _ChunkBuilder(segment, self._library.rate_hz, config.sample_rate_hz or self._library.rate_hz)
        try:
            while (output := await outputs.get()) is not None:
                for chunk in builder.push(output):
                    yield chunk
            try:
                await job
            except OSError as error:
                raise engine_failed("embedded", "espeak-ng failed") from error
            for chunk in builder.flush():
                yield chunk
        finally:
            wanted = False
            job.cancel()


class _ChunkBuilder:
    """Builds chunks of one segment: cuts leading silence, inserts the pause, resamples."""

    def __init__(self, segment: Segment, from_hz: int, to_hz: int) -> None:
        self._text = segment.spoken
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._pause = np.zeros(from_hz * segment.pause_ms // 1000, np.int16)
        self._resampler = Resampler(from_hz, to_hz)
        self._chunk_bytes = to_hz * CHUNK_MS // 1000 * 2
        self._begun = False
        self._cut_samples = 0
        self._pending = bytearray()
        self._sent_bytes = 0
        self._words: dict[int, Word] = {}
        self._seen: set[int] = set()

    def push(self, output: _SynthOutput) -> list[AudioChunk]:
        samples = output.samples
        if not self._begun and len(samples):
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _SILENCE_AMPLITUDE)
            self._begun = bool(len(loud))
            quiet = int(loud[0]) if self._begun else len(samples)
            self._cut_samples += quiet
            samples = np.concatenate([self._pause, samples[quiet:]]) if self._begun else samples[:0]
        for position, length, at_ms in output.words:
            self._add_word(position, length, at_ms / 1000)
        self._pending += self._resampler.push(samples).tobytes()
        return self._take_chunks(self._chunk_bytes)

    def flush(self) -> list[AudioChunk]:
        self._pending += self._resampler.flush().tobytes()
        return self._take_chunks(1)

    def _add_word(self, position: int, length: int, at_s: float) -> None:
        text = self._text[position - 1 : position - 1 + length]
        start_s = max(0.0, at_s + (len(self._pause) - self._cut_samples) / self._from_hz)
        if text and position not in self._seen:
            # espeak-ng reports a token of several spoken words ("7.30") once per word: the first start counts. Ends are
            # not reported; they are estimated from the length.
            self._seen.add(position)
            self._words[position] = Word(text, start_s, start_s + _CHARACTER_S * length)

    def _take_chunks(self, bytes_min: int) -> list[AudioChunk]:
        made: list[AudioChunk] = []
        while len(self._pending) >= max(bytes_min, 1):
            pcm = bytes(self._pending[: self._chunk_bytes])
            del self._pending[: self._chunk_bytes]
            self._sent_bytes += len(pcm)
            until_s = self._sent_bytes / 2 / self._to_hz
            due = [p for p, w in self._words.items() if w.start_s < until_s]
            made.append(AudioChunk(pcm, tuple(self._words.pop(p) for p in due)))
        return made
