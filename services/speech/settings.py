"""Settings of the speech service: environment variables HOCKET_SPEECH_*."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hocket.chassis.settings import HttpUrl, ServerSettings, WebSocketUrl
from services.speech.listening.endpointing import EndpointingRules
from services.speech.listening.preflight import PreflightRules
from services.speech.prices import MINUTE_MS, THOUSAND_CHARACTERS, PriceRow, price_of


class Settings(ServerSettings):
    """Without a vendor's key its embedded engine serves: for trials, not for customers."""

    model_config = SettingsConfigDict(env_prefix="HOCKET_SPEECH_")
    files_written = frozenset({"cost_journal_file"})

    ratelimit_target: str | None = Field(
        default=None,
        description="Address of the ratelimit service; unset checks no limits and records no costs.",
    )
    cost_journal_file: Path | None = Field(
        default=None,
        description="File that keeps cost events until the ledger has them, also through a crash; one process per file."
        " Unset keeps them in memory.",
    )
    deepgram_api_key: SecretStr | None = Field(
        default=None, description="Key of Deepgram; where set, Deepgram transcribes."
    )
    deepgram_model: str = Field(default="flux-general-en", description="Flux model of Deepgram.")
    deepgram_url: WebSocketUrl = Field(default="wss://api.deepgram.com", description="WebSocket URL of Deepgram.")
    deepgram_eager_threshold: float = Field(
        default=0.4,
        ge=0.3,
        le=0.9,
        description="Confidence at which Flux reports an eager end of turn, sent as a preflight.",
    )
    elevenlabs_api_key: SecretStr | None = Field(
        default=None, description="Key of ElevenLabs; where set, ElevenLabs synthesizes."
    )
    elevenlabs_model: str = Field(default="eleven_flash_v2_5", description="Model of ElevenLabs.")
    elevenlabs_voice: str = Field(
        default="JBFqnCBsd6RMkjVDRZzb", description="ElevenLabs voice id for requests without a voice."
    )
    elevenlabs_url: HttpUrl = Field(default="https://api.elevenlabs.io", description="URL of ElevenLabs.")
    vendor_timeout_s: float = Field(
        default=10, gt=0, le=120, description="Longest wait for a vendor's next message, in seconds."
    )
    stt_price_micro_usd_per_minute: int | None = Field(
        default=None,
        ge=0,
        description="Contract price of a minute of transcribed audio in micro-USD; unset for the vendor's list price.",
    )
    tts_price_micro_usd_per_1000_characters: int | None = Field(
        default=None,
        ge=0,
        description="Contract price of 1000 synthesized characters in micro-USD; unset for the vendor's list price.",
    )
    embedded_voice: str = Field(
        default="en-us", description="Voice of the embedded engine for requests without voice and language."
    )
    embedded_streams_max: int = Field(
        default=64, ge=1, le=1000, description="Streams that the embedded recogniser transcribes at once."
    )
    utterance_silence_ms: int = Field(
        default=200,
        ge=50,
        le=2000,
        description="Silence after which the embedded recogniser sends the final transcript, in milliseconds.",
    )
    turn_silence_ms: int = Field(
        default=300,
        ge=100,
        le=5000,
        description="Silence that ends a turn for the embedded recogniser, in milliseconds.",
    )
    preflight_silence_ms: int = Field(
        default=20,
        ge=10,
        le=500,
        description="Silence after which an expected phrase is sent as a preflight, in milliseconds.",
    )
    preflight_other_silence_ms: int = Field(
        default=100,
        ge=10,
        le=1000,
        description="Silence after which any other text is sent as a preflight, in milliseconds.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.utterance_silence_ms > self.turn_silence_ms:
            raise ValueError(
                f"utterance_silence_ms must not exceed turn_silence_ms: {self.utterance_silence_ms} and"
                f" {self.turn_silence_ms} are set"
            )
        if self.deepgram_api_key:
            _ = self.stt_price
        if self.elevenlabs_api_key:
            _ = self.tts_price
        self._check_embedded_engines()
        return self

    def _check_embedded_engines(self) -> None:
        """Raise ValueError if no key of a vendor is set and the packages of the embedded engine are missing."""
        engines = (
            (self.deepgram_api_key, "deepgram_api_key", "recogniser", ("pocketsphinx", "espeakng_loader")),
            (self.elevenlabs_api_key, "elevenlabs_api_key", "voice", ("espeakng_loader",)),
        )
        for key, name, engine, packages in engines:
            missing = [package for package in packages if find_spec(package) is None]
            if key is None and missing:
                raise ValueError(
                    f"{name} is not set and the embedded {engine} is not installed ({', '.join(missing)}): set the key,"
                    " or install hocket[speech-embedded], or use the image with the tag suffix -embedded"
                )

    @property
    def stt_price(self) -> PriceRow:
        """Price of Deepgram's model. Raises ValueError without a list price and a contract price."""
        contract = self.stt_price_micro_usd_per_minute
        return price_of("deepgram", self.deepgram_model, override_micro_usd=contract, per=MINUTE_MS)

    @property
    def tts_price(self) -> PriceRow:
        """Price of ElevenLabs' model. Raises ValueError without a list price and a contract price."""
        contract = self.tts_price_micro_usd_per_1000_characters
        return price_of("elevenlabs", self.elevenlabs_model, override_micro_usd=contract, per=THOUSAND_CHARACTERS)

    @property
    def endpointing(self) -> EndpointingRules:
        """Endpointing rules of the embedded recogniser."""
        return EndpointingRules(utterance_silence_ms=self.utterance_silence_ms, turn_silence_ms=self.turn_silence_ms)

    @property
    def preflight(self) -> PreflightRules:
        """Preflight rules of the embedded recogniser."""
        return PreflightRules(self.preflight_silence_ms, self.preflight_other_silence_ms)
