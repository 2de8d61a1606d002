"""Settings from environment variables: typed, bounded, described; secrets also from files named by *_FILE."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from hocket.chassis.auth import AUDIENCE, SECRET_BYTES_MIN, TokenMinter
from hocket.chassis.certificates import CertificateFiles, shared_files
from hocket.chassis.channel import ClientTls
from hocket.chassis.service_links import is_service_link

# An optional host name or address, and an optional port.
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(:\d{1,5})?")

Port = Annotated[int, Field(ge=0, le=65535)]


def _checked_url(schemes: tuple[str, ...], example: str) -> AfterValidator:
    """Check a URL at start: drivers fail at the first connection only, with part of the password in the message."""

    def check(url: SecretStr) -> SecretStr:
        scheme, separator, rest = url.get_secret_value().partition("://")
        hosts = re.split("[/?#]", rest)[0].rpartition("@")[2]
        if scheme not in schemes or not separator or not all(map(_HOST.fullmatch, hosts.split(","))):
            raise ValueError(f"must be a URL like {example}; write /, ?, # and @ of a password as %2F, %3F, %23, %40")
        return url

    return AfterValidator(check)


def url_of(*schemes: str) -> AfterValidator:
    """Return a check of a URL without a secret: one of `schemes`, and a host. Empty counts as unset."""

    def check(url: str | None) -> str | None:
        scheme, _, rest = (url or "").partition("://")
        host = re.split("[/?#]", rest)[0].rpartition("@")[2]
        if url and (scheme not in schemes or not host or not _HOST.fullmatch(host)):
            wanted = " or ".join(f"{each}://" for each in schemes)
            shown = f"{scheme}://{host}" if rest else url
            raise ValueError(f"{shown} must start with {wanted}, followed by host and port: {schemes[-1]}://host:8080")
        return url

    return AfterValidator(check)


HttpUrl = Annotated[str, url_of("http", "https")]
WebSocketUrl = Annotated[str, url_of("ws", "wss")]
PostgresUrl = Annotated[
    SecretStr, _checked_url(("postgresql", "postgres"), "postgresql://user:password@host:5432/database")
]
RedisUrl = Annotated[SecretStr, _checked_url(("redis", "rediss", "unix"), "redis://:password@host:6379/0")]


class _FileSource(PydanticBaseSettingsSource):
    """Reads the file named by `<PREFIX><FIELD>_FILE`, as container secrets are mounted."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - required by the base class
        field_name: str,
    ) -> tuple[Any, str, bool]:
        variable = f"{self.config.get('env_prefix', '')}{field_name}_FILE".upper()
        path = os.environ.get(variable)
        if path is None:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise ValueError(f"{variable}: cannot read {path}: {error.strerror}") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(f, name)[0] for name, f in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class _EnvironmentSettings(BaseSettings):
    """Settings from environment variables and from the files that they name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by priority: explicit values, environment, files named by the environment."""
        if isinstance(env_settings, EnvSettingsSource):
            # The name of a service link may be that of a setting: HOCKET_RAG_GRPC_PORT=tcp://10.0.0.1:50051.
            held = env_settings.env_vars.items()
            env_settings.env_vars = {name: value for name, value in held if not is_service_link(name, value or "")}
        return init_settings, env_settings, _FileSource(settings_cls)


class MigrationSettings(_EnvironmentSettings):
    """Settings of the sub-command `migrate`; a service's MigrationSettings extends it and sets `env_prefix`."""

    postgres_migration_url: PostgresUrl = Field(
        description="The same database as the role that owns the schema; only `migrate` reads it, never a server."
    )


class ServerSettings(_EnvironmentSettings):
    """Settings of every service; a service's Settings extends it and sets `env_prefix`."""

    # Names of settings with the same prefix that a sub-command reads; a server warns where they are set.
    command_settings: ClassVar[frozenset[str]] = frozenset()
    # Names of fields whose files the service writes; `--check-config` reads all others.
    files_written: ClassVar[frozenset[str]] = frozenset()
    # Those that may be missing.
    files_optional: ClassVar[frozenset[str]] = frozenset()

    grpc_host: str = Field(default="127.0.0.1", description="Address of the gRPC port; beyond loopback it needs a key.")
    grpc_port: Port = Field(default=0, description="gRPC port; 0 chooses a free one.")
    ops_host: str = Field(default="127.0.0.1", description="Address of the operations port.")
    ops_port: Port = Field(default=0, description="Operations port (/livez, /readyz, /metrics); 0 chooses a free one.")
    jwt_secret: SecretStr | None = Field(default=None, description="Shared secret of HS256 tokens, 32 bytes or more.")
    jwks_url: HttpUrl | None = Field(
        default=None, description="URL of the public keys of RS256, ES256 and EdDSA tokens."
    )
    jwks_file: Path | None = Field(default=None, description="JWKS file instead of a URL; read again on change.")
    jwt_issuer: str | None = Field(default=None, description="Required issuer of tokens; unset accepts any.")
    tls_cert_file: Path | None = Field(default=None, description="PEM certificate of this server; enables TLS.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of this server.")
    tls_client_ca_file: Path | None = Field(default=None, description="PEM CA of client certificates; enables mTLS.")
    peer_ca_file: Path | None = Field(default=None, description="PEM CA of called services; enables TLS to them.")
    peer_cert_file: Path | None = Field(default=None, description="PEM certificate for called services, for mTLS.")
    peer_key_file: Path | None = Field(default=None, description="PEM key of that certificate.")
    reflection: bool = Field(default=False, description="Serve gRPC reflection, to anyone who can connect.")
    message_bytes_max: int = Field(default=4 << 20, ge=1024, le=64 << 20, description="Largest message, in bytes.")
    concurrent_rpcs_max: int = Field(default=1000, ge=1, le=100_000, description="RPCs at once; more are refused.")
    unary_deadline_s: float = Field(default=30, gt=0, le=600, description="Longest unary RPC, in seconds.")
    stream_deadline_s: float = Field(default=4 * 3600, gt=0, le=86_400, description="Longest stream, in seconds.")
    connection_age_max_s: float = Field(
        default=600,
        gt=0,
        le=86_400,
        description="Age of a connection, in seconds, at which it moves to another replica.",
    )
    drain_wait_s: float = Field(
        default=0, ge=0, le=120, description="Seconds between not ready and refusing calls; 5 in Kubernetes."
    )
    drain_grace_s: float = Field(default=10, ge=0, le=86_400, description="Seconds for running RPCs to end on a stop.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level logged.")
    log_content: bool = Field(default=False, description="Log what users said.")
    otlp_endpoint: str | None = Field(
        default=None, description="OTLP/gRPC endpoint for traces and OpenTelemetry metrics; unset exports none."
    )

    @property
    def has_key(self) -> bool:
        """True if a secret or a JWKS is configured, so that tokens can be verified."""
        return bool(self.jwt_secret or self.jwks_url or self.jwks_file)

    @property
    def minter(self) -> TokenMinter | None:
        """Minter of tokens that services with these settings accept; None without a shared secret."""
        if self.jwt_secret is None:
            return None
        return TokenMinter(self.jwt_secret.get_secret_value(), issuer=self.jwt_issuer or AUDIENCE)

    @property
    def peer_tls(self) -> ClientTls | None:
        """TLS files for calls to other services; None for plain text."""
        if self.peer_ca_file is None:
            return None
        return ClientTls(self.peer_ca_file, self.peer_cert_file, self.peer_key_file)

    def server_certificates(self) -> CertificateFiles:
        """Return the TLS files of this server. Raises OSError as `CertificateFiles` does."""
        return shared_files(self.tls_client_ca_file, self.tls_cert_file, self.tls_key_file)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.jwt_secret and len(self.jwt_secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"jwt_secret must have {SECRET_BYTES_MIN} bytes or more")
        if not self.has_key and not is_loopback(self.grpc_host):
            raise ValueError(
                f"grpc_host {self.grpc_host} is not loopback and no key is set: set jwt_secret, jwks_url or jwks_file"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("tls_client_ca_file needs tls_cert_file and tls_key_file")
        if (self.peer_cert_file is None) != (self.peer_key_file is None):
            raise ValueError("peer_cert_file and peer_key_file go together")
        if self.peer_cert_file and not self.peer_ca_file:
            raise ValueError("peer_cert_file needs peer_ca_file")
        return self


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_port(host: str, port: int) -> str:
    """Return the address as gRPC and URLs have it; an IPv6 address stands in brackets."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def variables(settings_type: type[ServerSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield each environment variable of a service with its field."""
    prefix = str(settings_type.model_config.get("env_prefix", ""))
    for name, field in settings_type.model_fields.items():
        yield f"{prefix}{name}".upper(), field


def unread_variables(settings_type: type[ServerSettings]) -> list[str]:
    """Return set variables that only a sub-command reads, such as the URL of the schema's owner."""
    prefix = str(settings_type.model_config.get("env_prefix", ""))
    names = [f"{prefix}{name}{suffix}".upper() for name in settings_type.command_settings for suffix in ("", "_FILE")]
    return sorted(name for name in names if name in os.environ)


def unknown_variables(settings_type: type[ServerSettings]) -> list[str]:
    """Return set variables with the service's prefix that no setting reads: probably misspelled."""
    prefix = str(settings_type.model_config.get("env_prefix", "")).upper()
    known = {name for name, _ in variables(settings_type)}
    known |= {f"{name}_FILE" for name in known} | set(unread_variables(settings_type))
    set_names = [name for name in os.environ if name.startswith(prefix)]
    return sorted(name for name in set_names if name not in known and not is_service_link(name, os.environ[name]))
