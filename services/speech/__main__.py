"""Command `hocket-speech`: wires the engines that the settings choose."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

from contextlib import AsyncExitStack

from hocket.speech.v1 import speech_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from hocket.client.ledger import CostRecorder
from hocket.client.ledger_metrics import CostEventMetrics
from hocket.client.ratelimit import RateLimitClient
from services.speech.adapters.measured_engines import MeasuredSpeechToText, MeasuredTextToSpeech
from services.speech.adapters.ratelimit import MeshLedger, MeshLimits, tenant_token
from services.speech.flow import Speech
from services.speech.ports import SpeechToText, TextToSpeech
from services.speech.server import SpeechServicer
from services.speech.settings import Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire the service; push each resource that needs closing on `resources`."""
    target, tls, client = settings.ratelimit_target, settings.peer_tls, None
    # A stream may outlive its token: the minter makes fresh ones for its limits and costs.
    minter, journal = settings.minter, settings.cost_journal_file
    recorder = CostRecorder(target, tls=tls, minter=minter, journal_file=journal, observer=CostEventMetrics())
    ledger = MeshLedger(await resources.enter_async_context(recorder))
    if target:
        channel = MeshChannel(target, tenant_token(settings.minter), tls=tls)
        client = RateLimitClient(await resources.enter_async_context(channel))
    stt, tts = await _speech_to_text(settings, resources), await _text_to_speech(settings, resources)
    speech = Speech(MeasuredSpeechToText(stt), MeasuredTextToSpeech(tts), MeshLimits(client), ledger)
    servicer = SpeechServicer(speech)
    name = "hocket.speech.v1.SpeechService"
    return Assembly([Servicer(name, lambda s: speech_pb2_grpc.add_SpeechServiceServicer_to_server(servicer, s))])


# Engines are imported on use: the SDK or library of the other choice would cost memory for nothing.
async def _speech_to_text(settings: Settings, resources: AsyncExitStack) -> SpeechToText:
    if settings.deepgram_api_key:
        from services.speech.adapters.vendors.deepgram import DeepgramSpeechToText

        return DeepgramSpeechToText(
            settings.deepgram_api_key.get_secret_value(),
            settings.stt_price,
            url=settings.deepgram_url,
            eager_threshold=settings.deepgram_eager_threshold,
            timeout_s=settings.vendor_timeout_s,
        )
    from services.speech.adapters.embedded.espeak import EspeakLibrary
    from services.speech.adapters.embedded.speech_to_text import EmbeddedSpeechToText

    pronounce, rules = EspeakLibrary.shared().pronounce, settings.endpointing
    stt = EmbeddedSpeechToText(pronounce, rules, settings.preflight, streams_max=settings.embedded_streams_max)
    return await resources.enter_async_context(stt)


async def _text_to_speech(settings: Settings, resources: AsyncExitStack) -> TextToSpeech:
    if settings.elevenlabs_api_key:
        from services.speech.adapters.vendors.elevenlabs import ElevenLabsTextToSpeech

        tts = ElevenLabsTextToSpeech(
            settings.elevenlabs_api_key.get_secret_value(),
            settings.tts_price,
            url=settings.elevenlabs_url,
            default_voice=settings.elevenlabs_voice,
            timeout_s=settings.vendor_timeout_s,
        )
        return await resources.enter_async_context(tts)
    from services.speech.adapters.embedded.espeak import EspeakLibrary, EspeakTextToSpeech

    return EspeakTextToSpeech(EspeakLibrary.shared(), default_voice=settings.embedded_voice)


def main() -> None:
    """Run the command `hocket-speech`."""
    run("speech", "Speech to text with endpointing, and text to speech.", Settings, build)


if __name__ == "__main__":
    main()
