"""An embedded LiveKit server that listens on loopback only."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.data_folder import DataFolder
from local.processes.ports import HOST
from local.processes.process_spec import ProcessSpec

API_KEY = "hocket"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


@dataclass(frozen=True, slots=True)
class Livekit:
    """URL (ws://host:port, for `rtc.Room.connect` and `api.LiveKitAPI`) and credentials of a LiveKit server."""

    url: str
    api_key: str
    api_secret: str


def endpoint(port: int, secret: str) -> Livekit:
    """Return URL and credentials of the server that `prepare` describes."""
    return Livekit(f"ws://{HOST}:{port}", API_KEY, secret)


def prepare(folder: DataFolder, binary: Path, ports: tuple[int, int], webhook_url: str | None) -> ProcessSpec:
    """Write the configuration and return the process to run.

    Args:
        folder: data folder, receives livekit.yaml.
        binary: path of livekit-server.
        ports: TCP port of API and signalling, and UDP port of media.
        webhook_url: receiver of room events; None for none.
    """
    api_port, udp_port = ports
    secret = folder.secrets()["livekit"]
    config = {
        "port": api_port,
        "bind_addresses": [HOST],
        "keys": {API_KEY: secret},
        "rtc": {
            # No media over TCP: its port listens on every interface, whatever `bind_addresses` says.
            "tcp_port": 0,
            "udp_port": udp_port,
            "node_ip": HOST,
            "use_external_ip": False,
            "interfaces": {"includes": [_LOOPBACK]},
            "enable_loopback_candidate": True,
        },
        "logging": {"json": True, "level": "info"},
        **({"webhook": {"api_key": API_KEY, "urls": [webhook_url]}} if webhook_url else {}),
    }
    # JSON is valid YAML, and needs no further package.
    file = folder.write_private("livekit.yaml", json.dumps(config, indent=2))
    return ProcessSpec(
        name="livekit",
        argv=(str(binary), "--config", str(file)),
        env={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        probe=lambda: is_ready(f"http://{HOST}:{api_port}"),
        stop_grace_s=5,
    )


async def is_ready(http_url: str) -> bool:
    """Return True if a LiveKit server answers with success within 5 s."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return (await client.get(http_url)).is_success
    except httpx.HTTPError:
        return False
