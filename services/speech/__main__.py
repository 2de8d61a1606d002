"""The command `hocket-speech`: which engines, from the settings alone."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hocket.speech.v1 import speech_pb2_grpc

from chassis.auth import TokenMinter
from chassis.channel import MeshChannel, forwarded_token
from chassis.run import run
from chassis.server import Assembly, Servicer
from clients.ratelimit import CostRecorder, RateLimitClient
from services.speech.adapters.ratelimit import MeshLedger, MeshLimits
from services.speech.endpointing import EndpointingRules
from services.speech.flow import Speech
from services.speech.ports import Listener, Voice
from services.speech.preflight import PreflightRules
from services.speech.prices import MINUTE_MS, THOUSAND_CHARACTERS, price_of
from services.speech.server import SpeechServicer
from services.speech.settings import Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire the service; what it opens goes on `resources`."""
    target = settings.ratelimit_target
    # A stream may outlive the token it came with; its cost is booked all the same.
    minter = TokenMinter(settings.jwt_secret.get_secret_value()) if settings.jwt_secret else None
    recorder = await resources.enter_async_context(CostRecorder(target, minter=minter))
    client = None
    if target:
        client = RateLimitClient(await resources.enter_async_context(MeshChannel(target, forwarded_token)))
    listener, voice = await _listener(settings, resources), _voice(settings)
    speech = Speech(listener, voice, MeshLimits(client), MeshLedger(recorder))
    servicer = SpeechServicer(speech)
    name = "hocket.speech.v1.SpeechService"
    return Assembly([Servicer(name, lambda s: speech_pb2_grpc.add_SpeechServiceServicer_to_server(servicer, s))])


async def _listener(settings: Settings, resources: AsyncExitStack) -> Listener:
    # Engines are imported where they are used: each costs memory that the other choice need not pay.
    if settings.deepgram_api_key:
        from services.speech.adapters.deepgram_listener import DeepgramListener

        price_override = settings.stt_price_micro_usd_per_minute
        return DeepgramListener(
            settings.deepgram_api_key.get_secret_value(),
            price_of("deepgram", settings.deepgram_model, override_micro_usd=price_override, per=MINUTE_MS),
            url=settings.deepgram_url,
            eager_threshold=settings.deepgram_eager_threshold,
            timeout_s=settings.vendor_timeout_s,
        )
    from services.speech.adapters.embedded_listener import EmbeddedListener
    from services.speech.adapters.espeak_voice import EspeakLibrary

    endpointing = EndpointingRules(
        utterance_silence_ms=settings.utterance_silence_ms, turn_silence_ms=settings.turn_silence_ms
    )
    preflight = PreflightRules(settings.preflight_silence_ms, settings.preflight_other_silence_ms)
    pronounce = EspeakLibrary.shared().pronounce
    streams_max = settings.embedded_streams_max
    embedded = EmbeddedListener(pronounce, endpointing=endpointing, preflight=preflight, streams_max=streams_max)
    resources.push_async_callback(embedded.close)
    await embedded.load()
    return embedded


def _voice(settings: Settings) -> Voice:
    if settings.elevenlabs_api_key:
        from services.speech.adapters.elevenlabs_voice import ElevenLabsVoice

        price_override = settings.tts_price_micro_usd_per_1000_characters
        return ElevenLabsVoice(
            settings.elevenlabs_api_key.get_secret_value(),
            price_of(
                "elevenlabs", settings.elevenlabs_model, override_micro_usd=price_override, per=THOUSAND_CHARACTERS
            ),
            url=settings.elevenlabs_url,
            default_voice=settings.elevenlabs_voice,
            timeout_s=settings.vendor_timeout_s,
        )
    from services.speech.adapters.espeak_voice import EspeakLibrary, EspeakVoice

    return EspeakVoice(EspeakLibrary.shared(), default_voice=settings.embedded_voice)


def main() -> None:
    """Be `hocket-speech`."""
    run("speech", "When a speaker has finished, what was said, and text as a voice.", Settings, build)


if __name__ == "__main__":
    main()
