"""What holds for every object of every chart, with its defaults and with each ci case."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from scripts.charts.spec import SERVICE_CHARTS, chart_of
from tests.chart import helm

CASES = [*((name, "") for name in helm.APPLICATIONS), *helm.CASES]
POD_KINDS = {"Deployment", "Job", "Pod"}
SECRET_WORDS = ("password", "0123456789abcdef", "-----begin")


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1] or 'defaults'}", scope="module")
def rendered(request):
    name, file = request.param
    return helm.objects(name, helm.case(name, file) if file else {})


def pod_of(each: helm.Object) -> dict[str, Any] | None:
    if each["kind"] not in POD_KINDS:
        return None
    return each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]


def pods(rendered):
    return [(each, pod) for each in rendered if (pod := pod_of(each))]


def environment(rendered, deployment: helm.Object) -> dict[str, Any]:
    """Variables of the service's container: those of its ConfigMap, and `env`."""
    (container,) = (c for c in deployment["spec"]["template"]["spec"]["containers"] if "ports" in c)
    (source,) = (each["configMapRef"]["name"] for each in container["envFrom"] if "configMapRef" in each)
    return helm.the("ConfigMap", rendered, source)["data"] | {each["name"]: each for each in container["env"]}


def test_names_are_unique_and_short(rendered):
    keys = [(each["kind"], each["metadata"]["name"]) for each in rendered]
    hooks = [each for each in rendered if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    assert len(set(keys)) == len(keys), hooks
    assert all(len(name) <= 63 for _, name in keys)


def test_every_object_has_the_recommended_labels(rendered):
    for each in rendered:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "hocket"
        assert labels["app.kubernetes.io/instance"] == "one"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"app.kubernetes.io/name", "app.kubernetes.io/version", "app.kubernetes.io/component"} <= set(labels)


def test_no_deployment_has_replicas_and_each_has_an_autoscaler(rendered):
    for each in helm.of_kind("Deployment", rendered):
        assert "replicas" not in each["spec"]
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in rendered if "scaleTargetRef" in each.get("spec", {})]
    assert sorted(scaled) == sorted(each["metadata"]["name"] for each in helm.of_kind("Deployment", rendered))
    for each in helm.of_kind("HorizontalPodAutoscaler", rendered):
        assert each["spec"]["minReplicas"] <= each["spec"]["maxReplicas"]
        assert each["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_pods_satisfy_the_restricted_standard(rendered):
    for _, pod in pods(rendered):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["runAsUser"] == 10001


def test_every_container_has_requests_and_limits(rendered):
    for _, pod in pods(rendered):
        for container in pod["containers"]:
            for bound in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"][bound])
        assert all(v["emptyDir"].get("sizeLimit") for v in pod["volumes"] if "emptyDir" in v)


def test_selectors_match_the_pods_and_nothing_else(rendered):
    labels = {
        (each["kind"], each["metadata"]["name"]): (each if each["kind"] == "Pod" else each["spec"]["template"])[
            "metadata"
        ]["labels"]
        for each, _ in pods(rendered)
    }
    for each in rendered:
        spec = each.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if not selector or each["kind"] in {"ServiceMonitor", "Job"}:
            continue
        wanted = selector.get("matchLabels", selector)
        matched = [key for key, found in labels.items() if wanted.items() <= found.items()]
        assert len(matched) == 1, (each["kind"], each["metadata"]["name"], matched)
        # A selector is immutable: nothing that an upgrade changes.
        assert not {"app.kubernetes.io/version", "helm.sh/chart"} & set(wanted)


def test_ports_are_named_and_services_refer_to_them(rendered):
    by_component = {}
    for each in helm.of_kind("Deployment", rendered):
        container = each["spec"]["template"]["spec"]["containers"][0]
        by_component[each["metadata"]["labels"]["app.kubernetes.io/component"]] = {
            p["name"] for p in container["ports"]
        }
    for each in helm.of_kind("Service", rendered):
        names = by_component[each["metadata"]["labels"]["app.kubernetes.io/component"]]
        for port in each["spec"]["ports"]:
            assert port["name"] == port["targetPort"]
            assert port["name"] in names
            assert port["appProtocol"]
        assert each["spec"]["type"] == "ClusterIP"
    headless = [each for each in helm.of_kind("Service", rendered) if each["spec"].get("clusterIP") == "None"]
    assert len(headless) * 2 == len(helm.of_kind("Service", rendered))


def test_no_secret_is_in_a_config_map_or_a_pod(rendered):
    for each in rendered:
        if each["kind"] != "Secret":
            text = yaml.safe_dump(each).lower()
            assert not [word for word in SECRET_WORDS if word in text], each["kind"]


def test_liveness_is_livez_and_readiness_is_grpc_health_without_tls(rendered):
    for each in helm.of_kind("Deployment", rendered):
        container = each["spec"]["template"]["spec"]["containers"][0]
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        startup = container["startupProbe"]
        assert startup["failureThreshold"] * startup["periodSeconds"] >= 60
        tls = any(volume["name"] == "tls" for volume in each["spec"]["template"]["spec"]["volumes"])
        assert ("grpc" in container["readinessProbe"]) != tls
        assert tls == (container["readinessProbe"].get("httpGet", {}).get("path") == "/readyz")


def test_rollouts_add_pods_before_they_remove_any(rendered):
    for each in helm.of_kind("Deployment", rendered):
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
        keys = [c["topologyKey"] for c in each["spec"]["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_the_grace_period_covers_the_drain(rendered):
    for each in helm.of_kind("Deployment", rendered):
        pod = each["spec"]["template"]["spec"]
        found = environment(rendered, each)
        prefix = next(name for name in found if name.endswith("_GRPC_HOST")).removesuffix("GRPC_HOST")
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drains = [found.get(prefix + name, "0") for name in ("DRAIN_WAIT_S", "DRAIN_GRACE_S", "WORKER_DRAIN_S")]
        # 10 s: livekit-agents' timeout for the end of a room's process.
        process_end = 10 if prefix == "HOCKET_MEDIA_GATEWAY_" else 0
        assert pod["terminationGracePeriodSeconds"] >= sleep + math.fsum(map(float, drains)) + process_end + 5


def test_budgets_let_a_node_drain_at_one_replica(rendered):
    budgets = helm.of_kind("PodDisruptionBudget", rendered)
    assert len(budgets) == len(helm.of_kind("Deployment", rendered))
    for each in budgets:
        assert "minAvailable" not in each["spec"]
        assert str(each["spec"]["maxUnavailable"]) not in {"0", "0%"}
        assert each["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_hooks_delete_what_they_made(rendered):
    for each in rendered:
        annotations = each["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations:
            policies = annotations["helm.sh/hook-delete-policy"].split(",")
            assert {"before-hook-creation", "hook-succeeded"} <= set(policies)


def test_what_a_migration_needs_exists_before_it(rendered):
    for job in helm.of_kind("Job", rendered):
        annotations = job["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        pod = pod_of(job)
        before = {
            (each["kind"], each["metadata"]["name"])
            for each in rendered
            if each["metadata"].get("annotations", {}).get("helm.sh/hook") == annotations["helm.sh/hook"]
            and int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(annotations["helm.sh/hook-weight"])
        }
        assert ("ServiceAccount", pod["serviceAccountName"]) in before
        (variable,) = pod["containers"][0]["env"]
        assert variable["name"].endswith("_POSTGRES_MIGRATION_URL")
        secret = variable["valueFrom"]["secretKeyRef"]["name"]
        in_release = {each["metadata"]["name"] for each in helm.of_kind("Secret", rendered)}
        assert ("Secret", secret) in before or secret not in in_release
        assert pod["containers"][0]["args"] == ["migrate"]


def test_serving_pods_never_have_the_owner_of_the_schema(rendered):
    for each in helm.of_kind("Deployment", rendered):
        assert "POSTGRES_MIGRATION_URL" not in yaml.safe_dump(each)
    for each in helm.of_kind("Secret", rendered):
        hook = "helm.sh/hook" in each["metadata"].get("annotations", {})
        assert hook == ("postgres-migration-url" in each["stringData"])


def test_variables_are_settings_of_the_service(rendered):
    for each in helm.of_kind("Deployment", rendered):
        name = each["metadata"]["labels"]["app.kubernetes.io/component"]
        assert name in SERVICE_CHARTS
        chart = chart_of(name)
        prefix = chart.service.prefix
        known = {prefix + field.upper() for field in chart.settings_type.model_fields}
        known |= {f"{variable}_FILE" for variable in known}
        found = {variable for variable in environment(rendered, each) if variable != "POD_NAME"}
        assert found <= known
        assert {prefix + n for n in ("GRPC_HOST", "GRPC_PORT", "OPS_HOST", "OPS_PORT", "DRAIN_WAIT_S")} <= found
