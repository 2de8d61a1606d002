"""Servicer of hocket.speech.v1.SpeechService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from hocket.speech.v1 import speech_pb2, speech_pb2_grpc

from hocket.chassis.guard import Context
from services.speech import telemetry, wire
from services.speech.flow import Speech


class SpeechServicer(speech_pb2_grpc.SpeechServiceServicer):
    """Converts messages to values and back; `flow.Speech` does the work."""

    def __init__(self, speech: Speech) -> None:
        """Serve the RPCs with `speech`."""
        self._speech = speech

    async def Transcribe(
        self,
        request_iterator: AsyncIterator[speech_pb2.TranscribeRequest],
        context: Context,  # noqa: ARG002 - the contract names it
    ) -> AsyncIterator[speech_pb2.TranscribeResponse]:
        """Transcribe a stream of audio."""
        with telemetry.TRANSCRIPTIONS_OPEN.track_inprogress():
            config = await wire.transcription_config(request_iterator)
            audio = wire.audio(request_iterator, config.sample_rate_hz)
            async with aclosing(self._speech.transcribe(config, audio)) as events:
                async for event in events:
                    yield wire.transcribe_response(event)

    async def Synthesize(
        self,
        request_iterator: AsyncIterator[speech_pb2.SynthesizeRequest],
        context: Context,  # noqa: ARG002 - the contract names it
    ) -> AsyncIterator[speech_pb2.SynthesizeResponse]:
        """Synthesize a stream of text."""
        with telemetry.SYNTHESES_OPEN.track_inprogress():
            config = await wire.synthesis_config(request_iterator)
            async with aclosing(self._speech.synthesize(config, wire.texts(request_iterator))) as events:
                async for event in events:
                    yield wire.synthesize_response(event)
