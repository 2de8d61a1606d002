"""deploy/compose.yaml agrees with the topology."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from local import topology
from local.embedded import livekit_binary
from local.topology import NOUNS, MeshConfig, Ports, find_service, service_settings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
# Settings beyond the topology: listen addresses for other containers, and the LiveKit URL for browsers.
CONTAINER_ONLY = {"GRPC_HOST", "OPS_HOST", "HTTP_HOST", "LIVEKIT_PUBLIC_URL"}


JOURNALS = "/var/lib/hocket"


def kebab(noun: str) -> str:
    return noun.replace("_", "-")


def declared(noun):
    return COMPOSE["services"][kebab(noun)]


def expected(noun):
    config = MeshConfig(
        jwt_secret="set",
        redis_url="set",
        postgres_app_url="set",
        postgres_owner_url="set",
        journals=JOURNALS,
        livekit=dict.fromkeys(("URL", "API_KEY", "API_SECRET"), "set"),
        targets={other: f"dns:///{kebab(other)}:50051" for other in NOUNS},
    )
    http = 8080 if find_service(noun).http else 0
    return service_settings(find_service(noun), Ports(50051, 9090, http), config)


MIGRATED = [s.noun for s in topology.SERVICES if s.migration_argv]


def test_same_services_and_servers():
    migrations = {f"{kebab(noun)}-migrate" for noun in MIGRATED}
    assert set(COMPOSE["services"]) == {*topology.SERVERS, *map(kebab, NOUNS), *migrations}


@pytest.mark.parametrize("noun", MIGRATED)
def test_one_container_migrates_before_the_service_and_alone_holds_the_owners_password(noun):
    one, served = declared(f"{noun}-migrate"), declared(noun)
    assert one["command"] == list(find_service(noun).migration_argv[-1:])
    assert (one["image"], one["build"], one["restart"]) == (served["image"], served["build"], "no")
    assert set(one["environment"]) == {find_service(noun).prefix + topology.MIGRATION_URL}
    assert set(one["depends_on"]) == {"postgres"}
    assert served["depends_on"][f"{kebab(noun)}-migrate"] == {"condition": "service_completed_successfully"}


def test_serving_containers_never_hold_the_owners_password():
    holders = {name for name, service in COMPOSE["services"].items() if "OWNER_PASSWORD" in str(service)}
    assert holders == {"postgres", *(f"{kebab(noun)}-migrate" for noun in MIGRATED)}


@pytest.mark.parametrize("noun", NOUNS)
def test_container_settings_match_the_topology(noun):
    prefix = find_service(noun).prefix
    settings = {name.removeprefix(prefix): value for name, value in declared(noun)["environment"].items()}
    vendors = {setting for owner, setting in topology.VENDOR_VARIABLES.values() if owner == noun}
    assert set(settings) - CONTAINER_ONLY - vendors == set(expected(noun))
    assert {settings[name] for name in vendors} <= {None}  # passed through from the environment
    for name, value in expected(noun).items():
        if value != "set":
            assert settings[name] == value


@pytest.mark.parametrize("noun", NOUNS)
def test_container_dependencies_and_build_argument(noun):
    migration = [f"{noun}-migrate"] if noun in MIGRATED else []
    needed = {kebab(n) for n in (*find_service(noun).servers, *find_service(noun).calls, *migration)}
    assert set(declared(noun)["depends_on"]) == needed
    extras = {"EXTRAS": "speech-embedded"} if noun == "speech" else {}
    assert declared(noun)["build"]["args"] == {"SERVICE": kebab(noun), **extras}


@pytest.mark.parametrize("noun", NOUNS)
def test_health_is_checked_without_another_process_of_python(noun):
    health = declared(noun)["healthcheck"]
    assert health["test"] == ["CMD", "ready", declared(noun)["environment"][f"{find_service(noun).prefix}OPS_PORT"]]
    # A machine with 16 busy processes per core takes a minute to start a service, and longer for three vendors' SDKs.
    assert (health["start_period"], health["retries"]) == ("300s", 6)


@pytest.mark.parametrize("noun", [s.noun for s in topology.SERVICES if s.records_costs])
def test_each_journal_has_its_own_volume(noun):
    volume = f"{kebab(noun)}-journal"
    assert declared(noun)["volumes"] == [f"{volume}:{JOURNALS}"]
    assert volume in COMPOSE["volumes"]
    # A new volume inherits the owner of this folder in the image; no other user may write to it.
    assert f"--owner hocket {JOURNALS}" in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_ports_are_published_once_and_on_loopback_only(name):
    published = [p for s in COMPOSE["services"].values() for p in s.get("ports", ())]
    assert all(p.startswith("127.0.0.1:") for p in COMPOSE["services"][name].get("ports", ()))
    assert len(set(published)) == len(published)


def test_livekit_version_matches_the_embedded_one():
    assert COMPOSE["services"]["livekit"]["image"].endswith(f":{livekit_binary.VERSION}")
    config = yaml.safe_load(COMPOSE["services"]["livekit"]["environment"]["LIVEKIT_CONFIG"])
    assert config["webhook"]["urls"] == [f"http://media-gateway:8080{topology.WEBHOOK_PATH}"]


def test_secrets_come_from_the_environment():
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    secrets = [line for line in text.splitlines() if "SECRET:" in line or "PASSWORD:" in line]
    assert secrets
    assert all("${HOCKET_" in line for line in secrets)
