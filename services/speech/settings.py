"""What the speech service can be told, by environment variables HOCKET_SPEECH_*."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis.settings import ServerSettings
from services.speech.endpointing import EndpointingRules
from services.speech.preflight import PreflightRules
from services.speech.prices import MINUTE_MS, THOUSAND_CHARACTERS, PriceRow, price_of


class Settings(ServerSettings):
    """With no key set, the embedded engines serve: for trying things out, not for customers."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_SPEECH_")

    ratelimit_target: str | None = Field(
        default=None, description="Address of the ratelimit service; unset checks no limit and books no cost."
    )
    cost_journal_file: Path | None = Field(
        default=None,
        description="File that keeps cost events until they are booked, through a crash; one process a file."
        " Unset keeps them in memory.",
    )
    deepgram_api_key: SecretStr | None = Field(default=None, description="Key of Deepgram; set, it listens.")
    deepgram_model: str = Field(default="flux-general-en", description="Deepgram's Flux model to listen with.")
    deepgram_url: str = Field(default="wss://api.deepgram.com", description="Where Deepgram is reached.")
    deepgram_eager_threshold: float = Field(
        default=0.4, ge=0.3, le=0.9, description="Confidence (0.3 to 0.9) at which Flux guesses that a turn ends."
    )
    elevenlabs_api_key: SecretStr | None = Field(default=None, description="Key of ElevenLabs; set, it speaks.")
    elevenlabs_model: str = Field(default="eleven_flash_v2_5", description="ElevenLabs model to speak with.")
    elevenlabs_voice: str = Field(
        default="JBFqnCBsd6RMkjVDRZzb", description="ElevenLabs voice where a caller names none."
    )
    elevenlabs_url: str = Field(default="https://api.elevenlabs.io", description="Where ElevenLabs is reached.")
    vendor_timeout_s: float = Field(default=10, gt=0, le=120, description="Longest wait for a vendor's next answer.")
    stt_price_micro_usd_per_minute: int | None = Field(
        default=None, ge=0, description="Your price of a minute listened to by the vendor; unset means its list price."
    )
    tts_price_micro_usd_per_1000_characters: int | None = Field(
        default=None,
        ge=0,
        description="Your price of 1000 characters spoken by the vendor; unset means its list price.",
    )
    embedded_voice: str = Field(default="en-us", description="Embedded voice where a caller names none.")
    embedded_streams_max: int = Field(default=64, ge=1, le=1000, description="Streams the embedded recogniser hears.")
    utterance_silence_ms: int = Field(
        default=200, ge=50, le=2000, description="Silence after which the embedded recogniser gives a final transcript."
    )
    turn_silence_ms: int = Field(
        default=300, ge=100, le=5000, description="Silence that ends a turn for the embedded recogniser."
    )
    preflight_silence_ms: int = Field(
        default=20, ge=10, le=500, description="Silence after which an expected phrase is sent as a preflight."
    )
    preflight_other_silence_ms: int = Field(
        default=100, ge=10, le=1000, description="Silence after which any other text is sent as a preflight."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.utterance_silence_ms > self.turn_silence_ms:
            raise ValueError("utterance_silence_ms must not exceed turn_silence_ms")
        if self.deepgram_api_key:
            _ = self.stt_price
        if self.elevenlabs_api_key:
            _ = self.tts_price
        return self

    @property
    def stt_price(self) -> PriceRow:
        """Price of Deepgram's model. Raises ValueError when none is known or set."""
        own = self.stt_price_micro_usd_per_minute
        return price_of("deepgram", self.deepgram_model, override_micro_usd=own, per=MINUTE_MS)

    @property
    def tts_price(self) -> PriceRow:
        """Price of ElevenLabs' model. Raises ValueError when none is known or set."""
        own = self.tts_price_micro_usd_per_1000_characters
        return price_of("elevenlabs", self.elevenlabs_model, override_micro_usd=own, per=THOUSAND_CHARACTERS)

    @property
    def endpointing(self) -> EndpointingRules:
        """When the embedded recogniser ends utterances and turns."""
        return EndpointingRules(utterance_silence_ms=self.utterance_silence_ms, turn_silence_ms=self.turn_silence_ms)

    @property
    def preflight(self) -> PreflightRules:
        """When the embedded recogniser sends a guess."""
        return PreflightRules(self.preflight_silence_ms, self.preflight_other_silence_ms)
