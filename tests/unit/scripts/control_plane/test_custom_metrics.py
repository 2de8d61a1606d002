"""What the metrics API of a test cluster answers."""

from __future__ import annotations

import pytest

from scripts.control_plane.custom_metrics import CustomMetrics


def values(metrics: CustomMetrics, pods: list[str], version: str = "v1beta2") -> dict[str, str] | None:
    found = metrics.value_list("calls", "rooms", pods, version)
    return found and {item["describedObject"]["name"]: item["value"] for item in found["items"]}


def test_pods_share_a_total():
    metrics = CustomMetrics()
    metrics.set_total("calls", "rooms", 10)
    assert values(metrics, ["a", "b", "c", "d"]) == dict.fromkeys("abcd", "2500m")
    assert values(metrics, ["a", "b", "c"]) == dict.fromkeys("abc", "3333m")
    assert values(metrics, []) == {}


def test_pods_have_their_own_value_or_none():
    metrics = CustomMetrics()
    metrics.set_per_pod("calls", "rooms", {"a": 3})
    assert values(metrics, ["a", "b"]) == {"a": "3000m", "b": "0m"}


def test_metric_is_missing_where_it_was_not_set_and_after_its_removal():
    metrics = CustomMetrics()
    metrics.set_total("calls", "rooms", 10)
    assert metrics.value_list("calls", "streams", ["a"], "v1beta2") is None
    assert metrics.value_list("other", "rooms", ["a"], "v1beta2") is None
    metrics.remove("calls", "rooms")
    assert values(metrics, ["a"]) is None


@pytest.mark.parametrize(
    ("version", "named"), [("v1beta1", {"metricName": "rooms"}), ("v1beta2", {"metric": {"name": "rooms"}})]
)
def test_each_version_names_the_metric_in_its_own_field(version, named):
    metrics = CustomMetrics()
    metrics.set_total("calls", "rooms", 1)
    found = metrics.value_list("calls", "rooms", ["a"], version)
    assert found["apiVersion"] == f"custom.metrics.k8s.io/{version}"
    if version == "v1beta2":
        found["items"][0]["metric"].pop("selector")
    assert named.items() <= found["items"][0].items()


def test_reads_are_counted_also_of_a_missing_metric():
    metrics = CustomMetrics()
    assert metrics.reads("calls", "rooms") == 0
    metrics.value_list("calls", "rooms", ["a"], "v1beta2")
    assert (metrics.reads("calls", "rooms"), metrics.reads("other", "rooms")) == (1, 0)
