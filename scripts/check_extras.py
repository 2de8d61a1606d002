"""Start each service with its own extra installed and nothing else: proof that no dependency is undeclared."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("ratelimit", "vision", "rag", "llm_router", "speech", "media_gateway")
# An extra that adds engines to its service, and the keys without which the service's own extra does not start.
ENGINES = {"speech": "speech-embedded"}
KEYS = {"speech": {"HOCKET_SPEECH_DEEPGRAM_API_KEY": "unused", "HOCKET_SPEECH_ELEVENLABS_API_KEY": "unused"}}
SERVING = b'"serving"'
START_TIMEOUT_S = 60


def main() -> None:
    """Check the services named, or all; exit with a line for each that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", default=SERVICES, help="nouns; all when none is named")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.services[0])
        return
    checks = [(noun, noun.replace("_", "-"), KEYS.get(noun, {})) for noun in arguments.services]
    checks += [(noun, ENGINES[noun], {}) for noun in arguments.services if noun in ENGINES]
    failed = [extra for noun, extra, settings in checks if not starts(noun, extra, settings)]
    if failed:
        sys.exit(f"services do not start with these extras alone: {', '.join(failed)}")


def starts(noun: str, extra: str, settings: dict[str, str]) -> bool:
    """Return whether `noun` starts with `settings` in an environment that holds `extra` alone."""
    began = time.monotonic()
    uv = os.environ.get("UV", "uv")
    command = (
        *(uv, "run", "--quiet", "--isolated", "--locked", "--no-dev", "--extra", extra),
        *("--python", sys.executable, "python", __file__, "--inside", noun),
    )
    # Outside of the clone's own environment, and without the variables that point to it.
    env = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}} | settings
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    print(f"{extra}: {'starts' if done.returncode == 0 else 'does not start'} ({time.monotonic() - began:.1f} s)")
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def inside(noun: str) -> None:
    """In that environment: --help, --check-config, then serve until told to stop."""
    command = str(Path(sys.executable).parent / f"hocket-{noun.replace('_', '-')}")
    for flag in ("--help", "--check-config"):
        subprocess.run((command, flag), check=True, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT_S)
    process = subprocess.Popen((command,), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    if process.stderr is None:
        raise SystemExit("no pipe")
    limit = threading.Timer(START_TIMEOUT_S, process.kill)
    limit.start()
    said: list[bytes] = []
    for line in process.stderr:
        said.append(line)
        if SERVING in line:
            process.terminate()
            break
    said += process.stderr.readlines()
    limit.cancel()
    if process.wait() != 0:
        sys.exit(b"".join(said).decode(errors="replace"))


if __name__ == "__main__":
    main()
