"""The images that `make images` has built: contents, labels, an unprivileged run, and the end on SIGTERM as PID 1."""

from __future__ import annotations

import asyncio

import pytest

from scripts.images import DOCUMENTS, IMAGES, contents_of, gpl_packages
from tests.fakes.containers import TAGS, VERSION, docker, inspect, problem
from tests.fakes.waiting import START_S

PROBLEM = problem()
pytestmark = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)
BY_NAME = {image.service + image.suffix: image for image in IMAGES}
# What they wait for before they are ready; nothing here serves it.
MISSING = {"media-gateway": '"livekit"', "rag": '"postgres"', "ratelimit": '"redis"'}
# As compose and the charts run it.
RESTRICTED = (
    *("--read-only", "--tmpfs=/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "none"),
)


@pytest.fixture
def start():
    """Start a container; it is removed after the test."""
    started = []

    def run(name, *command, options=()):
        service = BY_NAME[name].service
        settings = {"OPS_PORT": "9090", "GRPC_PORT": "50051", "GRPC_HOST": "0.0.0.0", "JWT_SECRET": "s" * 40}
        if name == "speech":
            settings |= {"DEEPGRAM_API_KEY": "unused", "ELEVENLABS_API_KEY": "unused"}
        prefix = f"HOCKET_{service.upper().replace('-', '_')}_"
        env = [f"--env={prefix}{setting}={value}" for setting, value in settings.items()]
        started.append(docker("run", "--detach", *RESTRICTED, *env, *options, TAGS[name], *command).stdout.strip())
        return started[-1]

    yield run
    for container in started:
        docker("rm", "--force", container)


async def until_answers(container, expected):
    async with asyncio.timeout(START_S):
        while True:
            answer = await asyncio.to_thread(docker, "exec", container, "ready", "9090", check=False)
            if expected in answer.stdout:
                return
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("name", TAGS)
async def test_serves_unprivileged_on_a_read_only_root_and_ends_on_sigterm(start, name):
    container = start(name)
    await until_answers(container, MISSING.get(name, '"ready": true'))
    status = dict(line.split(":", 1) for line in docker("exec", container, "cat", "/proc/1/status").stdout.splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert docker("exec", container, "touch", "/opt/hocket/x", check=False).returncode != 0
    # Far beyond the grace period: a lost signal ends in SIGKILL, exit status 137.
    docker("stop", "--time", "300", container)
    assert inspect(container)["State"]["ExitCode"] == 0


@pytest.mark.parametrize("name", TAGS)
def test_bytecode_serves_the_modules_of_a_start(name):
    """No module that the service imports at its start is compiled then."""
    service = BY_NAME[name].service.replace("-", "_")
    code = (
        f"import sys, services.{service}.__main__ as m\n"
        "import os, importlib.util\n"
        "files = [m.__spec__ for m in list(sys.modules.values()) if getattr(m, '__spec__', None)]\n"
        "print([s.name for s in files if (s.origin or '').endswith('.py') and not os.path.exists(s.cached)])"
    )
    done = docker("run", "--rm", *RESTRICTED, "--entrypoint", "python", TAGS[name], "-c", code)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", TAGS)
def test_holds_neither_tests_nor_pip_and_explains_its_licences(name):
    script = (
        "find /opt/hocket/lib -name tests -type d; find / -xdev -name pip -o -xdev -name 'pip-*'; "
        f"ls {DOCUMENTS}; cat {DOCUMENTS}/NOTICE"
    )
    found = docker("run", "--rm", *RESTRICTED, "--entrypoint", "sh", TAGS[name], "-c", script).stdout
    listing, _, notice = found.partition("hocket\nCopyright")
    assert listing.split() == ["LICENSE", "NOTICE", "contents.json"]
    contents = contents_of(TAGS[name])
    for package in contents["packages"]:
        assert f"\n{package['name']} {package['version']}: " in notice
        assert package["licence"], package
    assert gpl_packages(contents) == (["espeakng-loader"] if name == "speech-embedded" else [])


@pytest.mark.parametrize("name", TAGS)
def test_has_labels_and_the_intended_size(name):
    image = inspect(TAGS[name])
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image["Config"]["Labels"].items()}
    assert labels["version"] == VERSION + BY_NAME[name].suffix
    assert len(labels["revision"].removesuffix("-dirty")) == 40
    assert labels["created"]
    assert labels["licenses"].startswith("Apache-2.0 AND ")
    assert ("GPL-3.0" in labels["licenses"]) == (name == "speech-embedded")
    assert labels["base.name"]
    assert image["Size"] <= BY_NAME[name].size_max_mb * 10**6


def test_speech_without_engines_names_the_missing_key():
    done = docker("run", "--rm", *RESTRICTED, TAGS["speech"], "--check-config", check=False)
    assert done.returncode == 1
    assert "deepgram_api_key is not set and the embedded recogniser is not installed" in done.stderr
