"""What the emulated vendors take, in seconds; the figures of the voice objective."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of a speech recogniser, a language model and a voice.

    Attributes:
        preflight_s: silence after which the recogniser guesses that the turn is over; within 50 ms of the end.
        final_s: from the arrival of the last loud audio to the final transcript.
        interim_s: between interim transcripts while somebody speaks.
        first_token_s: from a request to the model's first token.
        token_s: between its tokens.
        first_audio_s: from the first text to the first audio.
    """

    preflight_s: float = 0.040
    final_s: float = 0.150
    interim_s: float = 0.100
    first_token_s: float = 0.200
    token_s: float = 0.020
    first_audio_s: float = 0.075
