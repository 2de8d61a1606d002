"""HTTP API of the example backend: authentication, routes, JSON. Errors are {"error": "..."} with a status."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from examples.backend.store import RECORDS_MAX, Full, KeyReused, TenantStore
from hocket.chassis.auth import TokenVerifier
from hocket.chassis.errors import Unauthenticated

BODY_BYTES_MAX = 64 * 1024
FIELD_CHARACTERS_MAX = 2000

_VERIFIER = web.AppKey("verifier", TokenVerifier)
_TENANTS = web.AppKey("tenants", dict[str, TenantStore])


def make_app(verifier: TokenVerifier, tenants: dict[str, TenantStore]) -> web.Application:
    """Return the application.

    Args:
        verifier: verifies the bearer token of each request.
        tenants: tenant id -> data; other tenants get status 404.
    """
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_errors])
    app[_VERIFIER] = verifier
    app[_TENANTS] = tenants
    app.router.add_get("/livez", _livez)
    app.router.add_get("/v1/settings", _for_tenant(_settings))
    app.router.add_get("/v1/users/{user_id}", _for_tenant(_user))
    app.router.add_get("/v1/tasks", _for_tenant(_list_tasks))
    app.router.add_post("/v1/tasks", _for_tenant(_create_task))
    app.router.add_post("/v1/insights", _for_tenant(_log_insight))
    return app


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_TenantHandler = Callable[[web.Request, TenantStore], Awaitable[web.StreamResponse]]


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)
    except KeyReused:
        return _error(409, "this Idempotency-Key was used with another body; send a new key")
    except Full:
        return _error(507, f"the store is full ({RECORDS_MAX} records of each kind); restart the example backend")


def _for_tenant(handler: _TenantHandler) -> _Handler:
    """Wrap `handler`, which receives the store of the tenant in the verified token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise web.HTTPUnauthorized(text="send Authorization: Bearer <service token>")
        try:
            identity = await request.app[_VERIFIER].verify(token.strip())
        except Unauthenticated as error:
            raise web.HTTPUnauthorized(text=error.message) from error
        tenant = request.app[_TENANTS].get(identity.tenant_id)
        if tenant is None:
            raise web.HTTPNotFound(
                text=f"tenant {identity.tenant_id} is unknown to this backend; add it to the tenants file"
            )
        return await handler(request, tenant)

    return handle


async def _livez(_: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


async def _settings(_: web.Request, tenant: TenantStore) -> web.Response:
    return web.json_response(dict(tenant.settings))


async def _user(request: web.Request, tenant: TenantStore) -> web.Response:
    return web.json_response(dict(tenant.user(request.match_info["user_id"])))


async def _list_tasks(_: web.Request, tenant: TenantStore) -> web.Response:
    return web.json_response({"tasks": tenant.list_tasks()})


async def _create_task(request: web.Request, tenant: TenantStore) -> web.Response:
    body = await _body(request)
    key = request.headers.get("Idempotency-Key", "")
    task = tenant.create_task(
        _text(body, "title", required=True), _text(body, "due"), _text(body, "room"), _text(body, "user_id"), key
    )
    return web.json_response({"task_id": task.task_id, "title": task.title}, status=201)


async def _log_insight(request: web.Request, tenant: TenantStore) -> web.Response:
    body = await _body(request)
    insight = tenant.log_insight(_text(body, "text", required=True), _text(body, "room"), _text(body, "user_id"))
    return web.json_response({"insight_id": insight.insight_id}, status=201)


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body  # pyright: ignore[reportUnknownVariableType] - each field is checked where it is read


def _text(body: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise web.HTTPBadRequest(text=f"{name}: must be a string" + (" that is not empty" if required else ""))
    if len(value) > FIELD_CHARACTERS_MAX:
        raise web.HTTPBadRequest(text=f"{name}: at most {FIELD_CHARACTERS_MAX} characters")
    return value.strip()


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
