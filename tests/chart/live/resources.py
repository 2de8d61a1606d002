"""List every object of a namespace, of every kind that the server knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from scripts.control_plane.kubernetes_api import KubernetesApi

# Written by controllers in their own time, and removed by them.
_TRANSIENT = {"events", "leases", "pods", "endpoints", "endpointslices", "replicasets", "controllerrevisions"}


def namespaced_collections(api: KubernetesApi) -> Iterator[str]:
    """Yield the path prefix and plural of every namespaced kind that can be listed, once per kind."""
    groups = api.get("/apis")["groups"]
    for prefix in ("/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)):
        for resource in api.get(prefix).get("resources", ()):
            if resource["namespaced"] and "list" in resource["verbs"] and "/" not in resource["name"]:
                yield f"{prefix}/namespaces/{{namespace}}/{resource['name']}"


def objects(api: KubernetesApi, namespace: str) -> set[str]:
    """Return "plural/name" of every lasting object in the namespace."""

    def names(collection: str) -> Iterator[str]:
        plural = collection.rpartition("/")[2]
        if plural in _TRANSIENT:
            return
        for found in api.list(collection.format(namespace=namespace)):
            yield f"{plural}/{found['metadata']['name']}"

    return set(chain.from_iterable(names(each) for each in namespaced_collections(api)))


def cluster_objects(api: KubernetesApi) -> set[str]:
    """Return "plural/name" of cluster roles, bindings, classes and webhooks, which a chart could leave behind."""
    collections = (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    )
    return {f"{c.rpartition('/')[2]}/{found['metadata']['name']}" for c in collections for found in api.list(c)}
