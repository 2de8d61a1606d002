"""Values of the live tests: what a chart needs to be installed, and how it scales in them."""

from __future__ import annotations

from typing import Any

from tests.chart import helm

GATEWAY = "media-gateway"
FEW, MANY = 10, 50

# A chart's own way up takes a minute and its way down many; most tests are about what happens at a size.
_QUICK_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 1}],
}
_QUICK_DOWN = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 5}],
}


def needed(chart: str) -> dict[str, Any]:
    """Return the values without which the chart refuses to be installed."""
    return helm.case(chart, "minimal-values.yaml" if chart == "hocket" else "secrets-values.yaml")


def quick(chart: str, *layers: dict[str, Any]) -> dict[str, Any]:
    """Return values with which the chart grows at once, under `layers`; it shrinks at its own speed."""
    return helm.merged(needed(chart), helm.nested("autoscaling", "behavior", "scaleUp", value=_QUICK_UP), *layers)


def signal(chart: str) -> tuple[str, float]:
    """Return the pod metric that the chart scales on, and its target for each pod."""
    metric = helm.chart(chart).values["autoscaling"]["metric"]
    return metric["name"], float(metric["averageValue"])


_BOUNDS = {"minReplicas": FEW, "maxReplicas": 2 * MANY}
HPA = quick(GATEWAY, {"autoscaling": {"enabled": True, **_BOUNDS}})
STATIC = quick(GATEWAY, {"autoscaling": {"enabled": False, **_BOUNDS}, "replicaCount": MANY})
KEDA = quick(GATEWAY, {"autoscaling": {"enabled": False, **_BOUNDS}, "keda": {"enabled": True}})
# The chart's own way up, and a quick one down. Pods tell their rooms as the cost of their end.
OWN_SPEED_UP = helm.merged(
    needed(GATEWAY),
    {"autoscaling": {"enabled": True, **_BOUNDS, "behavior": {"scaleDown": _QUICK_DOWN}}},
    {"podDeletionCost": {"enabled": True}},
)
