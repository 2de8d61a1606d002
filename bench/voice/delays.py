"""Delays of the emulated vendors in seconds, as the objective of voice latency sets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of a speech recogniser, a language model and a voice.

    Attributes:
        preflight_s: Silence before the preflight transcript.
        final_s: From the arrival of the last loud audio to the final transcript.
        interim_s: Between interim transcripts during speech.
        first_token_s: From a request to the model's first token.
        token_s: Between later tokens.
        first_audio_s: From the first text to the first audio.
    """

    preflight_s: float = 0.040
    final_s: float = 0.150
    interim_s: float = 0.100
    first_token_s: float = 0.200
    token_s: float = 0.020
    first_audio_s: float = 0.075
