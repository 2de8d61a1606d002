"""Converts protobuf messages to the service's values and back, and checks every limit of a message."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration
from hocket.speech.v1 import speech_pb2

from hocket.chassis.errors import invalid_field
from services.speech import events
from services.speech.errors import out_of_order, too_large
from services.speech.events import StreamCommand
from services.speech.ports import SynthesisConfig, TranscriptionConfig

RATE_HZ_MIN = 8_000
RATE_HZ_MAX = 48_000
AUDIO_MS_MAX = 1_000
TEXT_BYTES_MAX = 16 * 1024
KEY_TERMS_MAX = 500
KEY_TERM_BYTES_MAX = 200
NAME_BYTES_MAX = 128
TURN_SILENCE_MS = (100, 5_000)


async def transcription_config(requests: AsyncIterator[speech_pb2.TranscribeRequest]) -> TranscriptionConfig:
    """Return the config, the first message of the stream.

    Raises:
        InvalidArgument: The first message is no config, or a field of it is out of range.
    """
    async for request in requests:
        if request.WhichOneof("payload") != "config":
            raise out_of_order("the first message must hold `config`, before any audio")
        return _checked_transcription_config(request.config)
    raise out_of_order("the stream ended without a message; the first must hold `config`")


def _checked_transcription_config(config: speech_pb2.TranscribeConfig) -> TranscriptionConfig:
    _check_rate(config.sample_rate_hz)
    if len(config.key_terms) > KEY_TERMS_MAX:
        raise too_large("config.key_terms", f"{len(config.key_terms)} terms; send at most {KEY_TERMS_MAX}")
    for index, term in enumerate(config.key_terms):
        _check_bytes(f"config.key_terms[{index}]", term, KEY_TERM_BYTES_MAX)
    silence_ms: int | None = None
    if config.HasField("end_of_turn_silence"):
        silence_ms = config.end_of_turn_silence.ToMilliseconds()
        if not TURN_SILENCE_MS[0] <= silence_ms <= TURN_SILENCE_MS[1]:
            raise invalid_field("config.end_of_turn_silence", f"is {silence_ms} ms; send 100 ms to 5 s, or none")
    return TranscriptionConfig(
        sample_rate_hz=config.sample_rate_hz,
        language=_name("config.language", config.language) or "en-US",
        key_terms=tuple(config.key_terms),
        turn_silence_ms=silence_ms,
        room=_name("config.room", config.room),
    )


async def audio(
    requests: AsyncIterator[speech_pb2.TranscribeRequest], sample_rate_hz: int
) -> AsyncIterator[bytes | StreamCommand]:
    """Yield audio and flushes, the messages after the config.

    Args:
        requests: The stream after `transcription_config` has taken its first message.
        sample_rate_hz: Rate of the config, which bounds the length of a message.

    Raises:
        InvalidArgument: A second config, an empty message, half a sample, or more than 1000 ms of audio.
    """
    async for request in requests:
        match request.WhichOneof("payload"):
            case "audio":
                yield _checked_audio(request.audio, sample_rate_hz)
            case "flush":
                yield StreamCommand.FLUSH
            case "config":
                raise out_of_order("a second `config`; send it once, as the first message")
            case _:
                raise invalid_field("payload", "is empty; send audio or flush")


def _checked_audio(pcm: bytes, sample_rate_hz: int) -> bytes:
    if not pcm or len(pcm) % 2:
        raise invalid_field("audio", f"{len(pcm)} bytes; send whole 16-bit samples, at least one")
    if len(pcm) // 2 * 1000 > sample_rate_hz * AUDIO_MS_MAX:
        raise too_large("audio", f"{len(pcm)} bytes; send at most {AUDIO_MS_MAX} ms per message")
    return pcm


async def synthesis_config(requests: AsyncIterator[speech_pb2.SynthesizeRequest]) -> SynthesisConfig:
    """Return the config, the first message of the stream.

    Raises:
        InvalidArgument: The first message is no config, or a field of it is out of range.
    """
    async for request in requests:
        if request.WhichOneof("payload") != "config":
            raise out_of_order("the first message must hold `config`, before any text")
        config = request.config
        if config.sample_rate_hz:
            _check_rate(config.sample_rate_hz)
        return SynthesisConfig(
            sample_rate_hz=config.sample_rate_hz,
            language=_name("config.language", config.language),
            voice=_name("config.voice", config.voice),
            room=_name("config.room", config.room),
        )
    raise out_of_order("the stream ended without a message; the first must hold `config`")


async def texts(requests: AsyncIterator[speech_pb2.SynthesizeRequest]) -> AsyncIterator[str | StreamCommand]:
    """Yield text, flushes and cancels, the messages after the config.

    Raises:
        InvalidArgument: A second config, an empty message, or more than 16 KiB of text.
    """
    async for request in requests:
        match request.WhichOneof("payload"):
            case "text":
                _check_bytes("text", request.text, TEXT_BYTES_MAX)
                yield request.text
            case "flush":
                yield StreamCommand.FLUSH
            case "cancel":
                yield StreamCommand.CANCEL
            case "config":
                raise out_of_order("a second `config`; send it once, as the first message")
            case _:
                raise invalid_field("payload", "is empty; send text, flush or cancel")


def _check_rate(sample_rate_hz: int) -> None:
    if not RATE_HZ_MIN <= sample_rate_hz <= RATE_HZ_MAX:
        raise invalid_field("config.sample_rate_hz", f"is {sample_rate_hz}; send {RATE_HZ_MIN} to {RATE_HZ_MAX}")


def _check_bytes(field: str, text: str, bytes_max: int) -> None:
    size = len(text.encode())
    if size > bytes_max:
        raise too_large(field, f"{size} bytes; send at most {bytes_max}")


def _name(field: str, value: str) -> str:
    _check_bytes(field, value, NAME_BYTES_MAX)
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        # The ledger refuses control characters, and the cost of a refused event would be lost.
        raise invalid_field(field, "must not hold control characters")
    return value


def transcribe_response(
    event: events.TranscriptionEvent | events.TranscriptionUsage,
) -> speech_pb2.TranscribeResponse:
    """Convert an event of a transcription."""
    match event:
        case events.SpeechStarted():
            started = speech_pb2.SpeechStarted(audio_start=_duration(event.audio_start_s))
            return speech_pb2.TranscribeResponse(speech_started=started)
        case events.Transcript():
            return _transcript_response(event)
        case events.EndOfTurn():
            ended = speech_pb2.EndOfTurn(speech_end=_duration(event.speech_end_s))
            return speech_pb2.TranscribeResponse(end_of_turn=ended)
        case events.TranscriptionUsage():
            usage = speech_pb2.TranscribeUsage(
                audio=_duration(event.audio_s),
                cost_micro_usd=event.cost_micro_usd,
                provider=event.provider,
                model=event.model,
            )
            return speech_pb2.TranscribeResponse(usage=usage)
        case events.AudioConsumed():
            raise TypeError("the flow converts AudioConsumed to TranscriptionUsage")


def _transcript_response(event: events.Transcript) -> speech_pb2.TranscribeResponse:
    transcript = speech_pb2.Transcript(
        text=event.text,
        words=[_word(w) for w in event.words],
        confidence=event.confidence,
        audio_end=_duration(event.audio_end_s),
    )
    match event.kind:
        case events.TranscriptKind.INTERIM:
            return speech_pb2.TranscribeResponse(interim=transcript)
        case events.TranscriptKind.PREFLIGHT:
            return speech_pb2.TranscribeResponse(preflight=transcript)
        case events.TranscriptKind.FINAL:
            return speech_pb2.TranscribeResponse(final=transcript)


def synthesize_response(
    event: events.AudioFormat | events.AudioChunk | events.Flushed | events.SynthesisUsage,
) -> speech_pb2.SynthesizeResponse:
    """Convert an event of a synthesis."""
    match event:
        case events.AudioFormat():
            return speech_pb2.SynthesizeResponse(format=speech_pb2.AudioFormat(sample_rate_hz=event.sample_rate_hz))
        case events.AudioChunk():
            audio = speech_pb2.Audio(pcm=event.pcm, words=[_word(w) for w in event.words])
            return speech_pb2.SynthesizeResponse(audio=audio)
        case events.Flushed():
            return speech_pb2.SynthesizeResponse(flushed=speech_pb2.Flushed())
        case events.SynthesisUsage():
            usage = speech_pb2.SynthesizeUsage(
                characters=event.characters,
                audio=_duration(event.audio_s),
                cost_micro_usd=event.cost_micro_usd,
                provider=event.provider,
                model=event.model,
            )
            return speech_pb2.SynthesizeResponse(usage=usage)


def _word(word: events.Word) -> speech_pb2.Word:
    start, end = _duration(word.start_s), _duration(word.end_s)
    return speech_pb2.Word(text=word.text, start=start, end=end, confidence=word.confidence)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000) * 1_000)
    return duration
