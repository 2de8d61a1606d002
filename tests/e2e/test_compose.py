"""deploy/compose.yaml for real: `docker compose up --wait`, then a spoken and a written turn with embedded engines."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from hocket.ratelimit.v1.ledger_pb2 import CostKind

from examples.backend.app import make_app
from examples.backend.store import read_tenants
from hocket.chassis.auth import TokenMinter, TokenVerifier
from local.caller.call import join_call
from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.backend import TENANTS_FILE
from local.demo.checks import should_repeat
from local.demo.clients import TenantClients
from local.demo.conversation import synthesize_questions, wait_for_greeting
from local.demo.knowledge import demo_documents, ingest
from local.demo.report import turn_facts
from local.topology import NOUNS
from tests.fakes.containers import VERSION, docker, inspect, problem
from tests.fakes.waiting import DEADLINE_S, START_S

ROOT = Path(__file__).resolve().parents[2]
SUBNET, HOST_ADDRESS = "172.30.77.0/24", "172.30.77.1"
ROOM = "compose"
UP_TIMEOUT_S = 1500
ATTEMPTS_MAX = 6
RECORDED = {CostKind.COST_KIND_LLM, CostKind.COST_KIND_STT, CostKind.COST_KIND_TTS}


def _problem() -> str:
    found = problem()
    if not found and docker("compose", "version", check=False).returncode:
        return "docker compose v2 is not installed"
    return found


PROBLEM = _problem()
pytestmark = [
    pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM),
    pytest.mark.timeout(2 * UP_TIMEOUT_S),
    pytest.mark.asyncio(loop_scope="module"),
]


def derived(backend_port):
    """The compose file without published ports, which another mesh on this machine may use, and with a backend."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    compose.pop("name")
    for service in compose["services"].values():
        service.pop("ports", None)
        service.pop("build", None)
    postgres = compose["services"]["postgres"]
    postgres["volumes"] = [v.replace("./postgres", str(ROOT / "deploy" / "postgres")) for v in postgres["volumes"]]
    gateway = compose["services"]["media-gateway"]
    gateway["environment"]["HOCKET_MEDIA_GATEWAY_BACKEND_URL"] = f"http://{HOST_ADDRESS}:{backend_port}"
    compose["networks"] = {"default": {"ipam": {"config": [{"subnet": SUBNET, "gateway": HOST_ADDRESS}]}}}
    return compose


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """The secret of the running mesh, a function for addresses of its containers, and the port for a backend."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        backend_port = free.getsockname()[1]
    file = tmp_path_factory.mktemp("compose") / "compose.yaml"
    file.write_text(yaml.safe_dump(derived(backend_port)))
    jwt_secret = secrets.token_hex(20)
    env = os.environ | {
        "HOCKET_IMAGE_TAG": VERSION,
        "HOCKET_JWT_SECRET": jwt_secret,
        "HOCKET_DB_PASSWORD": secrets.token_hex(20),
        "HOCKET_DB_OWNER_PASSWORD": secrets.token_hex(20),
        "HOCKET_LIVEKIT_SECRET": secrets.token_hex(20),
    }
    project = f"hocket-test-{secrets.token_hex(3)}"

    def compose(*arguments, timeout_s=UP_TIMEOUT_S):
        return subprocess.run(
            ("docker", "compose", "--project-name", project, "--file", str(file), *arguments),
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def address(service):
        container = compose("ps", "--quiet", service).stdout.strip()
        (network,) = inspect(container)["NetworkSettings"]["Networks"].values()
        return network["IPAddress"]

    try:
        up = compose("up", "--detach", "--wait", "--wait-timeout", str(UP_TIMEOUT_S - 100))
        if up.returncode != 0:
            raise AssertionError(up.stdout + up.stderr + compose("logs", "--tail", "20").stdout)
        yield jwt_secret, address, backend_port
    finally:
        compose("down", "--volumes", "--timeout", "30")


@asynccontextmanager
async def backend(jwt_secret, port):
    runner = web.AppRunner(make_app(TokenVerifier(secret=jwt_secret), read_tenants(TENANTS_FILE)), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST_ADDRESS, port).start()
        yield
    finally:
        await runner.cleanup()


async def recorded_kinds(clients):
    """Kinds of cost of the room, once the batches of the services have reached the ledger."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            kinds = {row.kind for row in (await clients.ledger.get_costs(room=ROOM)).sums}
            if kinds >= RECORDED:
                return kinds
            await asyncio.sleep(1)


async def test_a_question_is_answered_aloud_from_knowledge(mesh):
    jwt_secret, address, backend_port = mesh
    targets = {noun: f"{address(noun.replace('_', '-'))}:50051" for noun in NOUNS}
    clients = TenantClients(targets, TokenMinter(jwt_secret), script.TENANT)
    try:
        async with backend(jwt_secret, backend_port):
            await ingest(clients.rag, demo_documents())
            spoken = await synthesize_questions(clients.speech)
            await clients.rooms.create_room(ROOM)
            access = await clients.rooms.join_room(ROOM, script.CALLER)
            url = f"ws://{address('livekit')}:7880"
            async with join_call(url, access.token, script.CALLER, agent_timeout_s=START_S) as call:
                await wait_for_greeting(call)
                for _ in range(ATTEMPTS_MAX):
                    exchange = await ask(call, Question(script.KNOWLEDGE.text, spoken[script.KNOWLEDGE.text]))
                    if not should_repeat(turn_facts("knowledge", exchange), script.KNOWLEDGE):
                        break
                written = await ask(call, Question(script.TEXT.text))
            recorded = await recorded_kinds(clients)
    finally:
        await clients.close()
    assert any(phrase in written.answered for phrase in script.TEXT.expected_phrases), written
    # Two voices in real time: a busy machine may mishear, and the last attempt says what.
    assert any(phrase in exchange.answered for phrase in script.KNOWLEDGE.expected_phrases), exchange.reports
    assert written.answer_ms > 0
    assert recorded >= RECORDED
