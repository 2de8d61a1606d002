"""A LiveKit server of our own on loopback, and the configuration that keeps it there."""

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
    """A LiveKit server: `url` is ws://host:port, as `rtc.Room.connect` and `api.LiveKitAPI` take it."""

    url: str
    api_key: str
    api_secret: str


def endpoint(port: int, secret: str) -> Livekit:
    """What `prepare`'s server answers to."""
    return Livekit(f"ws://{HOST}:{port}", API_KEY, secret)


def prepare(folder: DataFolder, binary: Path, ports: tuple[int, int], webhook_url: str | None) -> ProcessSpec:
    """Write the configuration for `ports`: that of the API and signalling (TCP), and that of media (UDP)."""
    api_port, udp_port = ports
    secret = folder.secrets()["livekit"]
    config = {
        "port": api_port,
        "bind_addresses": [HOST],
        "keys": {API_KEY: secret},
        "rtc": {
            # Media over TCP is off: its port would listen on every interface whatever is said here.
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
    # JSON is YAML, and needs no package to be written right.
    file = folder.write_private("livekit.yaml", json.dumps(config, indent=2))
    return ProcessSpec(
        name="livekit",
        argv=(str(binary), "--config", str(file)),
        env={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        ready=lambda: answers(f"http://{HOST}:{api_port}"),
        stop_grace_s=5,
    )


async def answers(http_url: str) -> bool:
    """Whether a LiveKit server says that it is well."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return (await client.get(http_url)).is_success
    except httpx.HTTPError:
        return False
