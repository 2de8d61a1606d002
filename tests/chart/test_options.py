"""Options of the charts: secrets, TLS, scaling, names, meshes, routes, and combinations that are refused."""

from __future__ import annotations

import base64
import re

import pytest
import yaml
from helm_python.errors import HelmError

from scripts.charts.spec import chart_of
from tests.chart import helm

SECRET = "0123456789abcdef0123456789abcdef"


def pod(name: str, values: dict | None = None, release: str = "one") -> dict:
    return helm.the("Deployment", helm.objects(name, values, release=release))["spec"]["template"]["spec"]


def container(name: str, values: dict | None = None) -> dict:
    return pod(name, values)["containers"][0]


def variables(name: str, values: dict | None = None) -> dict[str, dict]:
    return {each["name"]: each for each in container(name, values)["env"]}


def settings(name: str, values: dict | None = None) -> dict[str, str]:
    found = helm.of_kind("ConfigMap", helm.objects(name, values))
    return next(each["data"] for each in found if each["metadata"]["name"] == f"one-{name}")


# --- images and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ({}, "hocket/speech:0.1.0"),
        ({"image": {"tag": "1.2"}}, "hocket/speech:1.2"),
        ({"image": {"registry": "r.example/a/"}}, "r.example/a/hocket/speech:0.1.0"),
        ({"global": {"imageRegistry": "g.example"}}, "g.example/hocket/speech:0.1.0"),
        ({"global": {"imageRegistry": "g"}, "image": {"registry": "l"}}, "l/hocket/speech:0.1.0"),
        ({"image": {"tag": "1", "digest": f"sha256:{'a' * 64}"}}, f"hocket/speech@sha256:{'a' * 64}"),
        ({"global": {"imageTag": "2"}}, "hocket/speech:2"),
    ],
)
def test_image_reference(values, reference):
    assert container("speech", values)["image"] == reference


def test_pull_secrets_of_chart_and_globals_are_merged():
    values = {"global": {"imagePullSecrets": ["a", {"name": "b"}]}, "image": {"pullSecrets": ["b", "c"]}}
    assert pod("speech", values)["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]


@pytest.mark.parametrize("name", helm.APPLICATIONS)
def test_names_of_long_releases_are_short_and_differ(name):
    first, second = f"{'a' * 52}b", f"{'a' * 52}c"
    minimal = helm.case(name, "minimal-values.yaml" if name == "hocket" else "secrets-values.yaml")
    named = {
        release: {(o["kind"], o["metadata"]["name"]) for o in helm.objects(name, minimal, release=release)}
        for release in (first, second)
    }
    assert not named[first] & named[second]
    for release, keys in named.items():
        assert len(keys) == len(helm.objects(name, minimal, release=release))
        assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", found) for _, found in keys)


@pytest.mark.parametrize("name", helm.APPLICATIONS)
def test_two_releases_in_a_namespace_share_nothing(name):
    selectors, names = [], []
    for release in ("one", "two"):
        found = helm.objects(name, release=release)
        names.append({(each["kind"], each["metadata"]["name"]) for each in found})
        selectors += [str(each["spec"]["selector"]) for each in helm.of_kind("Deployment", found)]
    assert not names[0] & names[1]
    assert len(set(selectors)) == len(selectors)


def test_a_release_named_after_its_chart_is_not_named_twice():
    assert helm.the("Deployment", helm.objects("speech", release="speech"))["metadata"]["name"] == "speech"
    assert helm.the("Deployment", helm.objects("speech", release="prod-speech"))["metadata"]["name"] == "prod-speech"
    assert helm.the("Deployment", helm.objects("speech", {"fullnameOverride": "x"}))["metadata"]["name"] == "x"
    # Releases named after their charts find each other.
    found = helm.of_kind("ConfigMap", helm.objects("speech", release="prod-speech"))[0]["data"]
    assert found["HOCKET_SPEECH_RATELIMIT_TARGET"] == "dns:///prod-ratelimit-headless.hocket.svc:50051"


def test_targets_can_be_replaced_or_left_out():
    values = {"targets": {"ratelimit": "dns:///limits.{{ .Release.Namespace }}:1", "vision": "none"}}
    found = settings("media-gateway", values)
    assert found["HOCKET_MEDIA_GATEWAY_RATELIMIT_TARGET"] == "dns:///limits.hocket:1"
    assert "HOCKET_MEDIA_GATEWAY_VISION_TARGET" not in found


# --- scaling ------------------------------------------------------------------------------------------------------

SIGNALS = {
    "media-gateway": "livekit_active_rooms",
    "speech": "hocket_speech_streams_open",
    "vision": "hocket_vision_offers_per_second",
    "llm-router": "hocket_llm_router_answers_in_flight",
    "rag": "hocket_rag_queries_per_second",
    "ratelimit": "hocket_ratelimit_decisions_per_second",
}


@pytest.mark.parametrize("name", helm.SERVICES)
def test_the_autoscaler_follows_the_signal_of_the_service(name):
    spec = helm.the("HorizontalPodAutoscaler", helm.objects(name))["spec"]
    assert [metric["pods"]["metric"]["name"] for metric in spec["metrics"]] == [SIGNALS[name]]
    assert {"scaleUp", "scaleDown"} <= set(spec["behavior"])
    values = {"autoscaling": {"cpu": {"enabled": True}}}
    kinds = [m["type"] for m in helm.the("HorizontalPodAutoscaler", helm.objects(name, values))["spec"]["metrics"]]
    assert kinds == ["Pods", "Resource"]


@pytest.mark.parametrize("name", helm.SERVICES)
def test_a_fixed_number_of_pods_is_an_autoscaler_with_equal_bounds(name):
    found = helm.objects(name, {"autoscaling": {"enabled": False}, "replicaCount": 7})
    spec = helm.the("HorizontalPodAutoscaler", found)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (7, 7)
    assert "replicas" not in helm.the("Deployment", found)["spec"]


@pytest.mark.parametrize("name", helm.SERVICES)
def test_keda_replaces_the_autoscaler(name):
    values = {"autoscaling": {"enabled": False}, "keda": {"enabled": True}}
    found = helm.objects(name, values)
    assert helm.of_kind("HorizontalPodAutoscaler", found) == []
    spec = helm.the("ScaledObject", found)["spec"]
    metric = SIGNALS[name].replace("_per_second", "_total")
    assert metric in spec["triggers"][0]["metadata"]["query"]
    assert f'pod=~"one-{name}-.*"' in spec["triggers"][0]["metadata"]["query"]
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    with pytest.raises(HelmError, match="exclude each other"):
        helm.objects(name, {"keda": {"enabled": True}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"autoscaling": {"minReplicas": 10, "maxReplicas": 5}}, "maxReplicas is 5, below"),
        ({"terminationGracePeriodSeconds": 20}, "terminationGracePeriodSeconds is 20, but draining takes up to 77 s"),
        ({"strategy": {"maxSurge": 0, "maxUnavailable": 0}}, "must not both be 0"),
        ({"tls": {"enabled": True}}, "tls.enabled needs tls.existingSecret or tls.certManager"),
        ({"tls": {"enabled": True, "certManager": {"enabled": True}}}, "issuerRef.name"),
        ({"secrets": {"csi": {"enabled": True}}}, "secretProviderClass or secrets.csi.provider"),
        ({"grpcRoute": {"enabled": True}}, "parentRefs"),
        (
            {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
            "scrape each pod twice",
        ),
    ],
)
def test_combinations_that_cannot_work_are_refused(values, message):
    with pytest.raises(HelmError, match=re.escape(message)):
        helm.objects("speech", values)


def test_the_grace_period_follows_the_drain_settings():
    assert pod("media-gateway")["terminationGracePeriodSeconds"] == 2 + 5 + 1800 + 10 + 10 + 15
    values = {"settings": {"worker_drain_s": 3600.5}}
    assert pod("media-gateway", values)["terminationGracePeriodSeconds"] == 3643
    assert "3643 s" in helm.notes("media-gateway", values)
    longer = {"terminationGracePeriodSeconds": 5000}
    assert pod("media-gateway", longer)["terminationGracePeriodSeconds"] == 5000


# --- secrets ------------------------------------------------------------------------------------------------------


def test_an_existing_secret_gives_what_it_has():
    found = variables("speech", {"secrets": {"existingSecret": "vault", "keys": {"jwt_secret": "hs256"}}})
    assert found["HOCKET_SPEECH_JWT_SECRET"]["valueFrom"]["secretKeyRef"] == {"name": "vault", "key": "hs256"}
    assert found["HOCKET_SPEECH_DEEPGRAM_API_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "vault",
        "key": "deepgram-api-key",
        "optional": True,
    }


def test_plain_values_are_in_a_secret_and_change_the_checksum():
    values = {"secrets": {"values": {"jwt_secret": SECRET}}}
    found = helm.objects("speech", values)
    assert helm.the("Secret", found)["stringData"] == {"jwt-secret": SECRET}
    sums = {
        helm.the("Deployment", helm.objects("speech", {"secrets": {"values": {"jwt_secret": text}}}))["spec"][
            "template"
        ]["metadata"]["annotations"]["checksum/secret"]
        for text in (SECRET, SECRET * 2)
    }
    assert len(sums) == 2
    assert base64.b64encode(SECRET.encode()).decode() not in yaml.safe_dump(helm.of_kind("ConfigMap", found))


def test_secrets_as_files():
    values = {
        "secrets": {
            "as": "files",
            "existingSecret": "vault",
            "keys": {"jwt_secret": "jwt"},
            "from": {"deepgram_api_key": {"name": "dg", "key": "key"}},
        }
    }
    found = variables("speech", values)
    assert found["HOCKET_SPEECH_JWT_SECRET_FILE"]["value"] == "/etc/hocket/secrets/jwt-secret"
    assert "HOCKET_SPEECH_ELEVENLABS_API_KEY_FILE" not in found
    volume = next(each for each in pod("speech", values)["volumes"] if each["name"] == "secrets")
    assert {source["secret"]["name"] for source in volume["projected"]["sources"]} == {"vault", "dg"}
    mounts = {each["name"]: each for each in container("speech", values)["volumeMounts"]}
    assert mounts["secrets"]["mountPath"] == "/etc/hocket/secrets"


def test_an_external_secret_and_its_use():
    external = {"enabled": True, "secretStoreRef": {"name": "vault"}, "data": {"jwt_secret": {"key": "hocket/jwt"}}}
    values = {"secrets": {"externalSecret": external}}
    spec = helm.the("ExternalSecret", helm.objects("speech", values))["spec"]
    assert spec["data"] == [{"secretKey": "jwt-secret", "remoteRef": {"key": "hocket/jwt"}}]
    reference = variables("speech", values)["HOCKET_SPEECH_JWT_SECRET"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": spec["target"]["name"], "key": "jwt-secret"}


def test_the_migration_has_an_external_secret_of_its_own():
    external = {
        "enabled": True,
        "secretStoreRef": {"name": "vault"},
        "data": {"postgres_url": {"key": "app"}, "postgres_migration_url": {"key": "owner"}},
    }
    found = helm.objects("rag", {"secrets": {"externalSecret": external}})
    hook = helm.the("ExternalSecret", found, "-migrate")
    assert hook["metadata"]["annotations"]["helm.sh/hook-weight"] == "-10"
    assert [each["secretKey"] for each in hook["spec"]["data"]] == ["postgres-migration-url"]
    serving = helm.the("ExternalSecret", found, "-external")
    assert [each["secretKey"] for each in serving["spec"]["data"]] == ["postgres-url"]
    (variable,) = helm.the("Job", found)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"]["name"] == hook["spec"]["target"]["name"]


def test_files_of_the_csi_driver():
    csi = {"enabled": True, "provider": "vault", "parameters": {"role": "hocket"}, "files": {"jwt_secret": "jwt"}}
    found = helm.objects("speech", {"secrets": {"csi": csi}})
    assert helm.the("SecretProviderClass", found)["spec"] == {"provider": "vault", "parameters": {"role": "hocket"}}
    assert (
        variables("speech", {"secrets": {"csi": csi}})["HOCKET_SPEECH_JWT_SECRET_FILE"]["value"]
        == "/etc/hocket/csi/jwt"
    )
    volume = next(v for v in pod("speech", {"secrets": {"csi": csi}})["volumes"] if v["name"] == "csi")
    assert volume["csi"]["volumeAttributes"] == {"secretProviderClass": "one-speech"}


def test_keys_rotate_by_a_mounted_key_set():
    values = {"jwks": {"existingConfigMap": "keys"}}
    assert settings("speech", values)["HOCKET_SPEECH_JWKS_FILE"] == "/etc/hocket/jwks/jwks.json"
    mounts = {each["name"]: each for each in container("speech", values)["volumeMounts"]}
    # A subPath mount would not follow a change.
    assert "subPath" not in mounts["jwks"]
    inline = helm.objects("speech", {"jwks": {"inline": '{"keys": []}'}})
    assert helm.the("ConfigMap", inline, "-jwks")["data"]["jwks.json"].strip() == '{"keys": []}'
    signing = settings("media-gateway", {"meshKey": {"existingSecret": "mesh"}})
    assert signing["HOCKET_MEDIA_GATEWAY_MESH_KEY_FILE"] == "/etc/hocket/mesh-key/mesh-key.pem"


def test_certificates_serve_and_call():
    issuer = {"name": "ca", "kind": "ClusterIssuer"}
    values = {"tls": {"enabled": True, "certManager": {"enabled": True, "issuerRef": issuer}}}
    found = helm.objects("speech", values)
    spec = helm.the("Certificate", found)["spec"]
    assert {"server auth", "client auth"} <= set(spec["usages"])
    assert {"one-speech.hocket.svc", "one-speech-headless.hocket.svc"} <= set(spec["dnsNames"])
    assert spec["privateKey"]["rotationPolicy"] == "Always"
    paths = {k.removeprefix("HOCKET_SPEECH_"): v for k, v in settings("speech", values).items() if k.endswith("_FILE")}
    assert paths == {
        "COST_JOURNAL_FILE": "/var/lib/hocket/speech.jsonl",
        "TLS_CERT_FILE": "/etc/hocket/tls/tls.crt",
        "TLS_KEY_FILE": "/etc/hocket/tls/tls.key",
        "TLS_CLIENT_CA_FILE": "/etc/hocket/tls/ca.crt",
        "PEER_CA_FILE": "/etc/hocket/tls/ca.crt",
        "PEER_CERT_FILE": "/etc/hocket/tls/tls.crt",
        "PEER_KEY_FILE": "/etc/hocket/tls/tls.key",
    }
    volume = next(each for each in pod("speech", values)["volumes"] if each["name"] == "tls")
    assert volume["secret"]["secretName"] == spec["secretName"]
    own = {"tls": {"enabled": True, "existingSecret": "mine", "verifyClients": False}}
    assert helm.of_kind("Certificate", helm.objects("speech", own)) == []
    assert "HOCKET_SPEECH_TLS_CLIENT_CA_FILE" not in settings("speech", own)


# --- pods ---------------------------------------------------------------------------------------------------------


def test_settings_and_extra_environment():
    values = {
        "settings": {"message_bytes_max": 16777216, "log_content": True},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.{{ .Release.Namespace }}"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "global": {"settings": {"log_level": "DEBUG", "livekit_url": "wss://x.example", "message_bytes_max": 2048}},
    }
    found = settings("vision", values)
    assert found["HOCKET_VISION_MESSAGE_BYTES_MAX"] == "16777216"
    assert found["HOCKET_VISION_LOG_CONTENT"] == "true"
    assert found["HOCKET_VISION_LOG_LEVEL"] == "DEBUG"
    assert not [name for name in found if "LIVEKIT" in name]
    assert variables("vision", values)["HTTPS_PROXY"]["value"] == "http://proxy.hocket"
    assert container("vision", values)["envFrom"][-1] == {"configMapRef": {"name": "more"}}
    origins = settings("media-gateway", {"settings": {"http_origins": ["https://a.example"]}})
    assert origins["HOCKET_MEDIA_GATEWAY_HTTP_ORIGINS"] == '["https://a.example"]'


def test_gateways_may_annotate_themselves_with_their_rooms():
    assert helm.of_kind("Role", helm.objects("media-gateway")) == []
    values = {"podDeletionCost": {"enabled": True}}
    found = helm.objects("media-gateway", values)
    assert helm.the("Role", found)["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    account = helm.the("Deployment", found)["spec"]["template"]["spec"]["serviceAccountName"]
    assert helm.the("RoleBinding", found)["subjects"][0]["name"] == account
    field = variables("media-gateway", values)["HOCKET_MEDIA_GATEWAY_DELETION_COST_POD"]["valueFrom"]["fieldRef"]
    assert field == {"fieldPath": "metadata.name"}
    mounts = {each["mountPath"] for each in container("media-gateway", values)["volumeMounts"]}
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in mounts
    assert pod("media-gateway", values)["automountServiceAccountToken"] is False
    ports = [p["port"] for rule in helm.the("NetworkPolicy", found)["spec"]["egress"] for p in rule["ports"]]
    assert 6443 in ports


def test_a_changed_setting_restarts_pods_and_a_reloaded_file_does_not():
    def annotations(name, values):
        found = helm.the("Deployment", helm.objects(name, values))
        return found["spec"]["template"]["metadata"]["annotations"]

    assert annotations("vision", {}) != annotations("vision", {"settings": {"log_level": "DEBUG"}})
    one, other = ({"files": {"tiers_file": f"# {text}"}} for text in "ab")
    assert annotations("llm-router", one) == annotations("llm-router", other)
    one, other = ({"files": {"limits_file": f"# {text}"}} for text in "ab")
    assert annotations("ratelimit", one) != annotations("ratelimit", other)
    assert settings("ratelimit", one)["HOCKET_RATELIMIT_LIMITS_FILE"] == "/etc/hocket/files/limits_file"


def test_placement_and_extensions_of_a_pod():
    values = {
        "priorityClassName": "voice",
        "runtimeClassName": "gvisor",
        "nodeSelector": {"pool": "voice"},
        "tolerations": [{"key": "voice", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["x"]}],
        "initContainers": [{"name": "wait", "image": "{{ .Values.image.repository }}"}],
        "sidecars": [{"name": "agent", "image": "agent"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "voice"},
        "checkConfig": True,
    }
    found = pod("speech", values)
    for field in ("priorityClassName", "runtimeClassName", "nodeSelector", "tolerations", "dnsConfig", "hostAliases"):
        assert found[field] == values[field]
    assert [each["name"] for each in found["initContainers"]] == ["check-config", "wait"]
    assert found["initContainers"][1]["image"] == "hocket/speech"
    assert [each["name"] for each in found["containers"]] == ["speech", "agent"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in found["volumes"]
    assert {"name": "ca", "mountPath": "/ca"} in found["containers"][0]["volumeMounts"]
    metadata = helm.the("Deployment", helm.objects("speech", values))["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "voice"
    assert metadata["annotations"]["a"] == "b"


def test_journals_survive_a_killed_container():
    volumes = {each["name"]: each for each in pod("speech")["volumes"]}
    assert volumes["journal"]["emptyDir"] == {"sizeLimit": "128Mi"}
    claimed = {"journal": {"existingClaim": "journals"}}
    mounts = {each["name"]: each for each in container("speech", claimed)["volumeMounts"]}
    assert mounts["journal"]["subPathExpr"] == "$(POD_NAME)"
    assert "journal" not in {each["name"] for each in pod("vision")["volumes"]}


def test_dual_stack_services_and_listeners():
    values = {"service": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}}
    for each in helm.of_kind("Service", helm.objects("speech", values)):
        assert each["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert each["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert settings("speech", values)["HOCKET_SPEECH_GRPC_HOST"] == "::"


@pytest.mark.parametrize(("mesh", "annotation"), [("istio", "proxy.istio.io/config"), ("linkerd", "linkerd.io/inject")])
def test_service_meshes(mesh, annotation):
    values = helm.case("rag", "secrets-values.yaml") | {"serviceMesh": mesh}
    found = helm.objects("rag", values)
    template = helm.the("Deployment", found)["spec"]["template"]
    assert annotation in template["metadata"]["annotations"]
    assert "holdApplicationUntilProxyStarts" in str(template["metadata"]["annotations"]) or mesh == "linkerd"
    ports = helm.of_kind("Service", found)[0]["spec"]["ports"]
    assert ports[0]["appProtocol"] == "grpc"
    # The proxy balances behind the ClusterIP, and a Job with a proxy would never end.
    assert settings("rag", values)["HOCKET_RAG_RATELIMIT_TARGET"] == "dns:///one-ratelimit.hocket.svc:50051"
    job = helm.the("Job", found)["spec"]["template"]["metadata"]["annotations"]
    assert job == {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}


def test_routes_of_the_gateway_api_and_ingress():
    parents = {"enabled": True, "parentRefs": [{"name": "edge"}], "hostnames": ["rooms.example"]}
    ingress = {"enabled": True, "className": "nginx", "hosts": ["rooms.example"], "tls": [{"secretName": "t"}]}
    found = helm.objects("media-gateway", {"grpcRoute": parents, "httpRoute": parents, "ingress": ingress})
    assert helm.the("GRPCRoute", found)["spec"]["rules"] == [
        {"backendRefs": [{"name": "one-media-gateway", "port": 50051}]}
    ]
    assert helm.the("HTTPRoute", found)["spec"]["rules"] == [
        {"backendRefs": [{"name": "one-media-gateway", "port": 8080}]}
    ]
    assert helm.the("Ingress", found)["spec"]["ingressClassName"] == "nginx"


def test_monitors_and_extra_objects():
    found = helm.objects("speech", {"monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "prom"}}}})
    monitor = helm.the("ServiceMonitor", found)
    assert monitor["metadata"]["labels"]["release"] == "prom"
    headless = next(s for s in helm.of_kind("Service", found) if s["spec"].get("clusterIP") == "None")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= headless["metadata"]["labels"].items()
    pods = helm.objects("speech", {"monitoring": {"podMonitor": {"enabled": True}}})
    assert helm.the("PodMonitor", pods)["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    extra = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-y'}",
    ]
    names = [o["metadata"]["name"] for o in helm.of_kind("ConfigMap", helm.objects("speech", {"extraObjects": extra}))]
    assert {"one-x", "one-y"} <= set(names)


def test_a_migration_without_a_hook_has_a_name_for_each_revision():
    values = helm.merged(helm.case("rag", "secrets-values.yaml"), {"migration": {"hook": ""}})
    job = helm.the("Job", helm.objects("rag", values))
    assert job["metadata"]["name"] == "one-rag-migrate-1"
    assert "helm.sh/hook" not in job["metadata"].get("annotations", {})
    assert helm.of_kind("Job", helm.objects("rag")) == []
    assert "hocket-rag migrate" in helm.notes("rag")
    rules = job["spec"]["template"], job["spec"]["podFailurePolicy"]["rules"]
    assert rules[1][1]["onExitCodes"]["values"] == [1, 2, 4]


def test_notes_name_what_is_missing():
    assert "no key verifies tokens" in helm.notes("speech")
    assert "WARNING" not in helm.notes("speech", {"secrets": {"existingSecret": "vault"}})
    assert "livekit_url is not set" in helm.notes("hocket")
    left_out = helm.notes("hocket", {"vision": {"enabled": False}})
    assert "Set media-gateway.targets.vision to an address or to none." in left_out
    assert "WARNING" not in helm.notes("hocket", helm.case("hocket", "minimal-values.yaml"))


def test_speech_needs_keys_or_the_image_with_engines():
    assert "deepgram_api_key comes from nowhere" in helm.notes("speech")
    assert "deepgram_api_key" not in helm.notes("speech", {"image": {"tag": "0.1.0-embedded"}})
    assert "WARNING" not in helm.notes("speech", helm.case("speech", "secrets-values.yaml"))


def test_a_pod_of_ratelimit_knows_its_share_while_redis_is_away():
    if "replicas_expected" in chart_of("ratelimit").settings:
        name = "HOCKET_RATELIMIT_REPLICAS_EXPECTED"
        assert settings("ratelimit")[name] == "2"
        assert settings("ratelimit", {"autoscaling": {"minReplicas": 6}})[name] == "6"
        assert settings("ratelimit", {"autoscaling": {"enabled": False}, "replicaCount": 4})[name] == "4"
        assert settings("ratelimit", {"settings": {"replicas_expected": 9}})[name] == "9"


def test_a_chart_of_the_umbrella_can_be_left_out():
    found = helm.objects("hocket", {"vision": {"enabled": False}})
    assert "one-vision" not in {each["metadata"]["name"] for each in found}
    assert len(helm.of_kind("Deployment", found)) == len(helm.SERVICES) - 1


def test_policies_of_an_umbrella_admit_its_own_release_only():
    spec = helm.the("NetworkPolicy", helm.objects("hocket", release="two"), "two-speech")["spec"]
    peers = [each["podSelector"]["matchLabels"] for each in spec["ingress"][0]["from"]]
    assert {each["app.kubernetes.io/instance"] for each in peers} == {"two"}
    assert "app.kubernetes.io/instance" not in str(helm.the("NetworkPolicy", helm.objects("speech"))["spec"]["ingress"])
    assert (
        helm.of_kind("NetworkPolicy", helm.objects("hocket", {"global": {"networkPolicy": {"enabled": False}}})) == []
    )
