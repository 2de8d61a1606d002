"""Serve the example backend: `python -m examples.backend`, configured by HOCKET_BACKEND_*."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from aiohttp import web
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from examples.backend.app import make_app
from examples.backend.store import read_tenants
from hocket.chassis.auth import SECRET_BYTES_MIN, TokenVerifier


class Settings(BaseSettings):
    """Settings of the example backend."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="HOCKET_BACKEND_", hide_input_in_errors=True)

    http_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 picks a free port.")
    jwt_secret: SecretStr = Field(
        min_length=SECRET_BYTES_MIN, description="Shared secret of the mesh, 32 bytes or more."
    )
    tenants_file: Path = Field(
        default=Path(__file__).with_name("tenants.json"), description="JSON file of tenants with settings and users."
    )


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    verifier = TokenVerifier(secret=settings.jwt_secret.get_secret_value())
    runner = web.AppRunner(make_app(verifier, read_tenants(settings.tenants_file)), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, settings.http_host, settings.http_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await site.start()
        host, port = runner.addresses[0][:2]
        print(f"example backend: serving on http://{host}:{port}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Read the settings and serve."""
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue] - jwt_secret comes from the environment
    except ValidationError as error:
        wrong = "; ".join(f"HOCKET_BACKEND_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        sys.exit(f"example backend: invalid settings: {wrong}")
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        sys.exit(f"example backend: {error}")


if __name__ == "__main__":
    main()
