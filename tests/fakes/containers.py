"""The container engine of this machine, if one answers, and the images that `make images` has built."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from scripts.images import IMAGES, engine_problem
from scripts.repository import project_version

# Starting a container and seven services on a busy machine.
COMMAND_TIMEOUT_S = 600
VERSION = project_version()
TAGS = {image.service + image.suffix: image.tag("", VERSION) for image in IMAGES}


def problem() -> str:
    """Return why the images cannot be tried here, in one line; "" if they can."""
    found = engine_problem()
    if found:
        return found
    missing = [tag for tag in TAGS.values() if docker("image", "inspect", tag, check=False).returncode]
    return f"run `make images` first: no {', '.join(missing)}" if missing else ""


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the engine's client."""
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done


def inspect(name: str) -> dict[str, Any]:
    """Return what the engine knows of a container or an image."""
    return dict[str, Any](json.loads(docker("inspect", name).stdout)[0])
