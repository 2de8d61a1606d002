"""Each service accepts the environment that its chart gives it, and the programs of `helm test` run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hocket.chassis.settings import unknown_variables
from scripts.charts.spec import chart_of
from tests.chart import helm


def environment(name: str, found: list[helm.Object]) -> dict[str, str]:
    """Variables of the pods of a service, with secrets of the release or, for other Secrets, an example."""
    deployment = helm.the("Deployment", found, f"one-{name}")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    values = dict(helm.the("ConfigMap", found, container["envFrom"][0]["configMapRef"]["name"])["data"])
    secrets = {each["metadata"]["name"]: each["stringData"] for each in helm.of_kind("Secret", found)}
    for each in container["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        if reference and reference["name"] in secrets:
            values[each["name"]] = secrets[reference["name"]][reference["key"]]
        elif reference:
            values[each["name"]] = EXAMPLES.get(reference["key"], "0123456789abcdef0123456789abcdef")
    return values


EXAMPLES = {
    "redis-url": "redis://redis:6379/0",
    "url": "redis://redis:6379/0",
    "postgres-url": "postgresql://hocket_app:x@postgres:5432/hocket",
    "pgbouncer-url": "postgresql://hocket_app:x@pgbouncer:6432/hocket",
}


@pytest.mark.parametrize("file", [file for name, file in helm.CASES if name == "hocket"])
@pytest.mark.parametrize("name", helm.SERVICES)
def test_a_service_accepts_its_environment(name, file, monkeypatch):
    for variable in [each for each in os.environ if each.startswith("HOCKET_")]:
        monkeypatch.delenv(variable)
    found = helm.objects("hocket", helm.case("hocket", file))
    for variable, value in environment(name, found).items():
        monkeypatch.setenv(variable, value)
    settings_type = chart_of(name).settings_type
    assert settings_type().has_key
    assert unknown_variables(settings_type) == []


def test_the_mesh_test_imports_what_it_calls():
    pod = next(p for p in helm.of_kind("Pod", helm.objects("hocket")) if p["metadata"]["name"].endswith("mesh-test"))
    container = pod["spec"]["containers"][0]
    names = {each["name"]: each.get("value", "") for each in container["env"]}
    assert [target.split("=")[0] for target in names["TARGETS"].split()] == [
        *("media-gateway", "speech", "vision", "llm-router", "rag", "ratelimit")
    ]
    environment = os.environ | {"TARGETS": "", "TIMEOUT_S": "10", "CONVERSATION": "false"}
    subprocess.run((sys.executable, "-c", container["args"][0]), env=environment, check=True)


@pytest.mark.parametrize("name", helm.SERVICES)
def test_the_test_of_a_service_is_a_program(name):
    program = helm.the("Pod", helm.objects(name))["spec"]["containers"][0]["args"][0]
    compile(program, name, "exec")
