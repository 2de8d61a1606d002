"""The example backend over real HTTP: who may call, what comes back, and tenants apart."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from examples.backend.app import BODY_BYTES_MAX, make_app
from examples.backend.store import TenantStore
from hocket.chassis.auth import TokenMinter, TokenVerifier

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)


@pytest.fixture
async def backend():
    tenants = {
        "acme": TenantStore({"instructions": "be brief", "key_terms": ["gear"]}, {"ann": {"display_name": "Ann"}}),
        "other": TenantStore({"instructions": "be kind", "key_terms": []}, {}),
    }
    runner = web.AppRunner(make_app(TokenVerifier(secret=SECRET), tenants), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield session
    await runner.cleanup()


def bearer(tenant: str, **values: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {MINTER.mint(tenant, caller='test', **values)}"}


async def test_settings_are_those_of_the_tokens_tenant(backend):
    for tenant, words in (("acme", "be brief"), ("other", "be kind")):
        async with backend.get("/v1/settings", headers=bearer(tenant)) as response:
            assert (200, words) == (response.status, (await response.json())["instructions"])


async def test_a_tenant_never_sees_another_tenants_tasks(backend):
    task = {"title": "order gears", "room": "r", "user_id": "ann"}
    async with backend.post("/v1/tasks", headers=bearer("acme"), json=task) as response:
        assert response.status == 201
    async with backend.get("/v1/tasks", headers=bearer("other")) as response:
        assert await response.json() == {"tasks": []}
    async with backend.get("/v1/tasks", headers=bearer("acme")) as response:
        assert [t["title"] for t in (await response.json())["tasks"]] == ["order gears"]


async def test_the_same_idempotency_key_makes_one_task(backend):
    headers = {**bearer("acme"), "Idempotency-Key": "k1"}
    ids = []
    for _ in range(2):
        async with backend.post("/v1/tasks", headers=headers, json={"title": "call Bo", "due": "Friday"}) as response:
            assert response.status == 201
            ids.append((await response.json())["task_id"])
    assert ids[0] == ids[1]
    async with backend.post("/v1/tasks", headers=headers, json={"title": "something else"}) as response:
        assert response.status == 409
    async with backend.get("/v1/tasks", headers=bearer("acme")) as response:
        assert len((await response.json())["tasks"]) == 1


async def test_the_same_key_of_another_tenant_is_another_key(backend):
    for tenant in ("acme", "other"):
        headers = {**bearer(tenant), "Idempotency-Key": "k1"}
        async with backend.post("/v1/tasks", headers=headers, json={"title": tenant}) as response:
            assert (201, tenant) == (response.status, (await response.json())["title"])


async def test_a_known_user_has_a_name_and_a_stranger_is_named_by_the_id(backend):
    for user, name in (("ann", "Ann"), ("zoe", "zoe")):
        async with backend.get(f"/v1/users/{user}", headers=bearer("acme")) as response:
            assert name == (await response.json())["display_name"]


async def test_insights_are_kept(backend):
    async with backend.post("/v1/insights", headers=bearer("acme"), json={"text": "likes tea"}) as response:
        assert response.status == 201
        assert (await response.json())["insight_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer nonsense"},
        bearer("acme", ttl_s=-60),
        {"Authorization": f"Bearer {TokenMinter('another-secret-of-32-bytes-or-more!').mint('acme', caller='t')}"},
    ],
)
async def test_a_call_without_a_valid_token_is_refused(backend, headers):
    async with backend.get("/v1/settings", headers=headers) as response:
        assert response.status == 401
        assert "error" in await response.json()


async def test_a_tenant_that_the_backend_does_not_know_gets_404(backend):
    async with backend.get("/v1/settings", headers=bearer("stranger")) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ("{}", "title"),
        ('{"title": " "}', "title"),
        ('{"title": 3}', "title"),
        ('{"title": "x", "due": 3}', "due"),
        ('{"title": "' + "x" * 3000 + '"}', "at most 2000"),
    ],
)
async def test_a_wrong_body_is_refused_by_its_field(backend, body, says):
    async with backend.post("/v1/tasks", headers=bearer("acme"), data=body) as response:
        assert response.status == 400
        assert says in (await response.json())["error"]


async def test_a_body_over_the_limit_is_refused(backend):
    async with backend.post("/v1/tasks", headers=bearer("acme"), data=b"x" * (BODY_BYTES_MAX + 1)) as response:
        assert response.status == 413


async def test_liveness_needs_no_token(backend):
    async with backend.get("/livez") as response:
        assert response.status == 200
