"""The command `hocket-speech`: which engines, from the settings alone."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hocket.speech.v1 import speech_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from hocket.client.ledger import CostRecorder
from hocket.client.ratelimit import RateLimitClient
from services.speech.adapters.ratelimit import MeshLedger, MeshLimits, tenant_token
from services.speech.flow import Speech
from services.speech.ports import Listener, Voice
from services.speech.server import SpeechServicer
from services.speech.settings import Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire the service; what it opens goes on `resources`."""
    target, tls, client = settings.ratelimit_target, settings.peer_tls, None
    # A stream may outlive the token it came with; it is limited and booked all the same.
    recorder = CostRecorder(target, tls=tls, minter=settings.minter, journal_file=settings.cost_journal_file)
    ledger = MeshLedger(await resources.enter_async_context(recorder))
    if target:
        channel = MeshChannel(target, tenant_token(settings.minter), tls=tls)
        client = RateLimitClient(await resources.enter_async_context(channel))
    listener, voice = await _listener(settings, resources), await _voice(settings, resources)
    servicer = SpeechServicer(Speech(listener, voice, MeshLimits(client), ledger))
    name = "hocket.speech.v1.SpeechService"
    return Assembly([Servicer(name, lambda s: speech_pb2_grpc.add_SpeechServiceServicer_to_server(servicer, s))])


# Engines are imported where they are used: each costs memory that the other choice need not pay.
async def _listener(settings: Settings, resources: AsyncExitStack) -> Listener:
    if settings.deepgram_api_key:
        from services.speech.adapters.deepgram_listener import DeepgramListener

        return DeepgramListener(
            settings.deepgram_api_key.get_secret_value(),
            settings.stt_price,
            url=settings.deepgram_url,
            eager_threshold=settings.deepgram_eager_threshold,
            timeout_s=settings.vendor_timeout_s,
        )
    from services.speech.adapters.embedded_listener import EmbeddedListener
    from services.speech.adapters.espeak_voice import EspeakLibrary

    pronounce, rules = EspeakLibrary.shared().pronounce, settings.endpointing
    listener = EmbeddedListener(pronounce, rules, settings.preflight, streams_max=settings.embedded_streams_max)
    return await resources.enter_async_context(listener)


async def _voice(settings: Settings, resources: AsyncExitStack) -> Voice:
    if settings.elevenlabs_api_key:
        from services.speech.adapters.elevenlabs_voice import ElevenLabsVoice

        voice = ElevenLabsVoice(
            settings.elevenlabs_api_key.get_secret_value(),
            settings.tts_price,
            url=settings.elevenlabs_url,
            default_voice=settings.elevenlabs_voice,
            timeout_s=settings.vendor_timeout_s,
        )
        return await resources.enter_async_context(voice)
    from services.speech.adapters.espeak_voice import EspeakLibrary, EspeakVoice

    return EspeakVoice(EspeakLibrary.shared(), default_voice=settings.embedded_voice)


def main() -> None:
    """Be `hocket-speech`."""
    run("speech", "When a speaker has finished, what was said, and text as a voice.", Settings, build)


if __name__ == "__main__":
    main()
