"""The API custom.metrics.k8s.io, as the Prometheus adapter serves it, with values that the caller sets."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from scripts.control_plane.kubernetes_api import KubernetesApi, Object

GROUP = "custom.metrics.k8s.io"
VERSIONS = ("v1beta1", "v1beta2")


@dataclass(frozen=True, slots=True)
class _Total:
    value: float


class CustomMetrics:
    """Values of pod metrics. A metric that was never set, or was removed, is missing for its readers."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], _Total | Mapping[str, float]] = {}
        self._reads: Counter[tuple[str, str]] = Counter()

    def set_total(self, namespace: str, metric: str, total: float) -> None:
        """Let the running pods of a reader's selector share `total` evenly.

        Shares are rounded down to a thousandth: rounded up, 350 over 44 pods would ask for 51 pods of 7.
        """
        self._values[namespace, metric] = _Total(total)

    def set_per_pod(self, namespace: str, metric: str, values: Mapping[str, float]) -> None:
        """Set the value of each pod by name; other pods have 0."""
        self._values[namespace, metric] = dict(values)

    def remove(self, namespace: str, metric: str) -> None:
        """Let the metric be missing, as when the exporter or the adapter is down."""
        self._values.pop((namespace, metric), None)

    def value_list(self, namespace: str, metric: str, pods: list[str], version: str) -> Object | None:
        """Return a MetricValueList for `pods`, or None if the metric is missing; count the read."""
        self._reads[namespace, metric] += 1
        values = self._values.get((namespace, metric))
        if values is None:
            return None
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        items: list[Object] = []
        for pod in pods:
            value = values.value / len(pods) if isinstance(values, _Total) else values.get(pod, 0.0)
            name = {"metricName": metric} if version == "v1beta1" else {"metric": {"name": metric, "selector": None}}
            described = {"kind": "Pod", "apiVersion": "/v1", "namespace": namespace, "name": pod}
            items.append(
                {"describedObject": described, "timestamp": now, "value": f"{math.floor(value * 1000)}m", **name}
            )
        return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{version}", "metadata": {}, "items": items}

    def reads(self, namespace: str, metric: str) -> int:
        """Return how often the metric was read, missing or not: each read is a decision of an autoscaler."""
        return self._reads[namespace, metric]

    def names(self) -> list[str]:
        """Return the names of all metrics that have a value."""
        return sorted({metric for _, metric in self._values})


@asynccontextmanager
async def serve(
    metrics: CustomMetrics, api: KubernetesApi, host: str, port: int, tls: ssl.SSLContext
) -> AsyncGenerator[None]:
    """Serve `metrics` for the block.

    Args:
        metrics: the values.
        api: lists the pods that a request selects.
        host: address to listen on.
        port: port to listen on.
        tls: certificate of the server; the aggregation layer speaks TLS alone.
    """

    async def discovery(request: web.Request) -> web.Response:
        kind = {"singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
        version = request.match_info["version"]
        resources = [{"name": f"pods/{name}", **kind} for name in metrics.names()]
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{version}"}
        return web.json_response({**body, "resources": resources})

    async def values(request: web.Request) -> web.Response:
        namespace, metric = request.match_info["namespace"], request.match_info["metric"]
        selector = request.query.get("labelSelector", "")
        pods = await asyncio.to_thread(_running_pods, api, namespace, selector)
        body = metrics.value_list(namespace, metric, pods, request.match_info["version"])
        if body is None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            return web.json_response({**status, "message": f"no metric {metric} in {namespace}"}, status=404)
        return web.json_response(body)

    application = web.Application()
    application.router.add_get(f"/apis/{GROUP}/{{version}}", discovery)
    application.router.add_get(f"/apis/{GROUP}/{{version}}/namespaces/{{namespace}}/pods/*/{{metric}}", values)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


def _running_pods(api: KubernetesApi, namespace: str, selector: str) -> list[str]:
    pods = api.list(f"/api/v1/namespaces/{namespace}/pods", selector)
    alive = (p for p in pods if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"])
    return [pod["metadata"]["name"] for pod in alive]
