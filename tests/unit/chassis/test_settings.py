"""Validation of settings, secrets from files, and keys beyond loopback."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from hocket.chassis.run import read_settings
from hocket.chassis.settings import (
    PostgresUrl,
    RedisUrl,
    ServerSettings,
    is_loopback,
    unknown_variables,
    unread_variables,
)

SECRET = "a-secret-of-32-bytes-for-tests-only!"


class Settings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="HOCKET_PROBE_")
    command_settings = frozenset({"owner_url"})
    speed_fps: int = Field(default=30, ge=1, le=60, description="Frames a second.")


class Stores(ServerSettings):
    postgres_url: PostgresUrl
    redis_url: RedisUrl


GOOD = {"postgres_url": "postgresql://u:p%2Fw@db:5432/x", "redis_url": "redis://:p@redis:6379/0"}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("postgres_url", "postgresql:///hocket?host=/run/postgres"),
        ("postgres_url", "postgres://a@[::1]:5432,db2/x"),
        ("redis_url", "unix:///run/redis.sock"),
        ("redis_url", "rediss://u:p@redis.example"),
    ],
)
def test_store_urls_with_sockets_and_several_hosts_are_valid(name, url):
    assert getattr(Stores(**{**GOOD, name: url}), name).get_secret_value() == url


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("postgres_url", "hunter2"),
        ("postgres_url", "postgresql://u:hunter2/x@db/hocket"),
        ("postgres_url", "postgresql://u:hunter2#x@db/hocket"),
        ("postgres_url", "redis://u:hunter2@db"),
        ("redis_url", "hunter2:6379"),
        ("redis_url", "redis://:hunter2?@redis:6379/0"),
    ],
)
def test_malformed_store_urls_are_refused_without_showing_the_password(name, url):
    with pytest.raises(ValidationError) as caught:
        Stores(**{**GOOD, name: url})
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://keys.example/jwks", "keys.example", "https://", "https://u:hunter2@host:x"])
def test_a_jwks_url_of_a_wrong_scheme_or_without_a_host_is_refused_without_its_password(url, monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_JWKS_URL", url)
    with pytest.raises(SystemExit, match="HOCKET_PROBE_JWKS_URL: .*must start with http:// or https://") as caught:
        read_settings("hocket-probe", Settings)
    assert "hunter2" not in str(caught.value)


def test_the_defaults_are_valid():
    assert read_settings("hocket-probe", Settings).speed_fps == 30


def test_a_wrong_value_is_reported_by_its_variable(monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_SPEED_FPS", "90")
    with pytest.raises(SystemExit, match=r"HOCKET_PROBE_SPEED_FPS: .*less than or equal to 60"):
        read_settings("hocket-probe", Settings)


def test_a_misspelled_variable_is_refused_but_service_links_are_not(monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_SPEED", "30")
    monkeypatch.setenv("HOCKET_PROBE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HOCKET_PROBE_PORT_50051_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("HOCKET_PROBE_METRICS_SERVICE_HOST", "10.0.0.1")
    assert unknown_variables(Settings) == ["HOCKET_PROBE_SPEED"]
    with pytest.raises(SystemExit, match="HOCKET_PROBE_SPEED"):
        read_settings("hocket-probe", Settings)


def test_a_setting_of_a_sub_command_is_no_misspelling_and_is_not_read(monkeypatch):
    assert unread_variables(Settings) == []
    monkeypatch.setenv("HOCKET_PROBE_OWNER_URL", "hunter2")
    monkeypatch.setenv("HOCKET_PROBE_OWNER_URL_FILE", "/nothing")
    assert "hunter2" not in str(read_settings("hocket-probe", Settings).model_dump())
    assert unread_variables(Settings) == ["HOCKET_PROBE_OWNER_URL", "HOCKET_PROBE_OWNER_URL_FILE"]


def test_a_service_link_with_the_name_of_a_setting_is_ignored(monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_GRPC_PORT", "tcp://10.0.0.1:50051")
    assert read_settings("hocket-probe", Settings).grpc_port == 0
    monkeypatch.setenv("HOCKET_PROBE_GRPC_PORT", "50051")
    assert read_settings("hocket-probe", Settings).grpc_port == 50051


def test_a_secret_is_read_from_a_file_unless_the_variable_is_set(monkeypatch, tmp_path):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    monkeypatch.setenv("HOCKET_PROBE_JWT_SECRET_FILE", str(file))
    secret = read_settings("hocket-probe", Settings).jwt_secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET
    monkeypatch.setenv("HOCKET_PROBE_JWT_SECRET", SECRET[::-1])
    assert SECRET[::-1] == Settings().jwt_secret.get_secret_value()


def test_a_missing_secret_file_is_named(monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_JWT_SECRET_FILE", "/nowhere/secret")
    with pytest.raises(SystemExit, match="HOCKET_PROBE_JWT_SECRET_FILE: cannot read /nowhere/secret"):
        read_settings("hocket-probe", Settings)


def test_a_refused_secret_is_not_in_the_message(monkeypatch):
    monkeypatch.setenv("HOCKET_PROBE_JWT_SECRET", "hunter2")
    with pytest.raises(SystemExit) as caught:
        read_settings("hocket-probe", Settings)
    assert "32 bytes" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "hocket.example"])
def test_without_a_key_nothing_listens_beyond_loopback(host):
    with pytest.raises(ValidationError, match="loopback"):
        Settings(grpc_host=host)
    assert host == Settings(grpc_host=host, jwt_secret=SECRET).grpc_host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_addresses_are_recognised(host):
    assert is_loopback(host)


def test_an_incomplete_set_of_tls_files_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="go together"):
        Settings(tls_cert_file=tmp_path / "cert.pem")
    with pytest.raises(ValidationError, match="tls_client_ca_file needs"):
        Settings(tls_client_ca_file=tmp_path / "ca.pem")


def test_peers_are_called_in_plain_text_without_a_ca_file(tmp_path):
    assert Settings().peer_tls is None
    tls = Settings(peer_ca_file=tmp_path / "ca.pem").peer_tls
    assert tls is not None
    assert tmp_path / "ca.pem" == tls.ca_file
    with pytest.raises(ValidationError, match="peer_cert_file needs peer_ca_file"):
        Settings(peer_cert_file=tmp_path / "cert.pem", peer_key_file=tmp_path / "key.pem")
