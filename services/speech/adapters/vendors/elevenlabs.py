"""Text to speech over ElevenLabs: one streamed request per segment, with the time of each character.

Tested against a local emulator of its HTTP stream; never run against the paid service.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import Any, Self, cast

import httpx
import numpy as np
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import CharacterAlignmentResponseModel

from hocket.chassis.errors import MeshError, invalid_field
from hocket.chassis.telemetry import trace_headers
from services.speech.errors import credentials_refused, engine_failed, vendor_busy
from services.speech.events import AudioChunk, Word
from services.speech.ports import SynthesisConfig
from services.speech.prices import PriceRow
from services.speech.resampling import Resampler
from services.speech.speaking.segmenter import Segment

PROVIDER = "elevenlabs"
# Rates of raw PCM in every plan; audio at other rates is resampled from 24 kHz.
_PCM_RATES_HZ = (16_000, 22_050, 24_000)
OWN_RATE_HZ = 24_000


class ElevenLabsTextToSpeech:
    """`ports.TextToSpeech` over ElevenLabs."""

    def __init__(self, api_key: str, price: PriceRow, *, url: str, default_voice: str, timeout_s: float) -> None:
        """Configure the client; connections are pooled.

        Args:
            api_key: Key of ElevenLabs.
            price: Price row of the model; its `model` is the one requested.
            url: Base URL of the API.
            default_voice: Voice id for requests without a voice.
            timeout_s: Longest wait for a connection and between two chunks, in seconds.
        """
        self.price = price
        self._default_voice = default_voice
        self._timeout_s = timeout_s
        self._connections = httpx.AsyncClient(timeout=timeout_s)
        self._client = AsyncElevenLabs(api_key=api_key, base_url=url, httpx_client=self._connections)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pooled connections."""
        await self._connections.aclose()

    def output_rate_hz(self, config: SynthesisConfig) -> int:
        """Return the requested rate, or 24000. Whether a voice id exists is known to the vendor alone."""
        if config.voice and not config.voice.isalnum():
            raise invalid_field("config.voice", f"{config.voice!r} is no ElevenLabs voice id; send letters and digits")
        return config.sample_rate_hz or OWN_RATE_HZ

    async def synthesize(self, segment: Segment, config: SynthesisConfig) -> AsyncGenerator[AudioChunk, None]:
        """Yield the audio of `segment` as the vendor sends it; closing the generator closes the request."""
        rate_hz = self.output_rate_hz(config)
        vendor_rate_hz = rate_hz if rate_hz in _PCM_RATES_HZ else OWN_RATE_HZ
        resampler = Resampler(vendor_rate_hz, rate_hz)
        # The SDK's method is an async generator typed as an iterator.
        chunks = cast(
            "AsyncGenerator[Any, None]",
            self._client.text_to_speech.stream_with_timestamps(
                config.voice or self._default_voice,
                text=segment.spoken,
                model_id=self.price.model,
                output_format=f"pcm_{vendor_rate_hz}",
                language_code=config.language.partition("-")[0].lower() or "en",
                request_options={
                    "max_retries": 0,
                    "timeout_in_seconds": max(1, int(self._timeout_s)),
                    "additional_headers": trace_headers(),
                },
            ),
        )
        odd = b""
        words = _WordAssembler()
        with _vendor_errors():
            async with aclosing(chunks):
                async for chunk in chunks:
                    pcm = odd + base64.b64decode(chunk.audio_base_64)
                    whole = len(pcm) // 2 * 2
                    odd = pcm[whole:]
                    samples = resampler.push(np.frombuffer(pcm[:whole], "<i2"))
                    yield AudioChunk(samples.tobytes(), words.push(chunk.alignment))
        yield AudioChunk(resampler.flush().tobytes(), words.flush())


class _WordAssembler:
    """Assembles words from characters with times; a word may span two chunks."""

    def __init__(self) -> None:
        self._text = ""
        self._start_s = self._end_s = 0.0

    def push(self, alignment: CharacterAlignmentResponseModel | None) -> tuple[Word, ...]:
        done: list[Word] = []
        if alignment is not None:
            times = zip(
                alignment.characters,
                alignment.character_start_times_seconds,
                alignment.character_end_times_seconds,
                strict=False,
            )
            for character, start_s, end_s in times:
                if character.isspace():
                    done += self.flush()
                else:
                    self._start_s = self._start_s if self._text else start_s
                    self._text, self._end_s = self._text + character, end_s
        return tuple(done)

    def flush(self) -> tuple[Word, ...]:
        if not self._text:
            return ()
        word, self._text = Word(self._text, self._start_s, self._end_s), ""
        return (word,)


@contextmanager
def _vendor_errors() -> Generator[None, None, None]:
    try:
        yield
    except ApiError as error:
        raise _status_error(error.status_code) from error
    except httpx.HTTPError as error:
        raise engine_failed(PROVIDER, "the connection failed or timed out") from error


def _status_error(status: int | None) -> MeshError:
    if status in {401, 403}:
        return credentials_refused(PROVIDER)
    if status == 429:
        return vendor_busy(PROVIDER, 1)
    if status in {400, 404, 422}:
        return invalid_field(
            "config.voice", f"{PROVIDER} refuses this voice or text (status {status}); send another voice id"
        )
    return engine_failed(PROVIDER, f"answered with status {status}")
