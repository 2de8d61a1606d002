"""Settings of the gateway: defaults, unsafe values, signing keys."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from services.media_gateway.config import JobConfig
from services.media_gateway.settings import Settings

SECRET = "a-secret-of-32-bytes-for-tests-only!"


def test_the_default_job_config_can_be_pickled():
    config = Settings().job_config("/tmp/turns")  # noqa: S108 - a path that is not opened
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - pickled here
    assert isinstance(config, JobConfig)
    assert config.peers.key is None


@pytest.mark.parametrize(
    "values",
    [
        {"livekit_url": "http://127.0.0.1:7880"},
        {"livekit_url": "wss://livekit.example.org"},
        {"http_host": "0.0.0.0"},
        {"jwks_url": "https://keys.example.org"},
    ],
)
def test_unsafe_settings_are_rejected(values):
    with pytest.raises(ValidationError):
        Settings(**values)


def test_a_private_key_takes_precedence_over_the_shared_secret(tmp_path):
    (tmp_path / "key.pem").write_text("PEM")
    settings = Settings(jwt_secret=SECRET, mesh_key_file=tmp_path / "key.pem", mesh_key_id="k1")
    key = settings.mesh_key()
    assert (key.key, key.algorithm, key.key_id) == ("PEM", "ES256", "k1")
    assert Settings(jwt_secret=SECRET).mesh_key().key == SECRET
