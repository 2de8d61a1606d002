"""deploy/compose.yaml says what the topology says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from local import topology
from local.embedded import livekit_binary
from local.topology import NOUNS, Ports, Surroundings, service, settings_of

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
# What a container is told beyond the topology: to listen for its neighbours, and how a browser reaches LiveKit.
CONTAINER_ONLY = {"GRPC_HOST", "OPS_HOST", "HTTP_HOST", "LIVEKIT_PUBLIC_URL"}


JOURNALS = "/var/lib/hocket"


def kebab(noun: str) -> str:
    return noun.replace("_", "-")


def declared(noun):
    return COMPOSE["services"][kebab(noun)]


def expected(noun):
    around = Surroundings(
        jwt_secret="set",
        redis_url="set",
        postgres_app_url="set",
        postgres_owner_url="set",
        journals=JOURNALS,
        livekit=dict.fromkeys(("URL", "API_KEY", "API_SECRET"), "set"),
        targets={other: f"dns:///{kebab(other)}:50051" for other in NOUNS},
    )
    http = 8080 if service(noun).http else 0
    return settings_of(service(noun), Ports(50051, 9090, http), around)


def test_the_same_services_and_servers_run():
    assert set(COMPOSE["services"]) == {*topology.SERVERS, *map(kebab, NOUNS)}


@pytest.mark.parametrize("noun", NOUNS)
def test_a_container_is_told_what_the_topology_tells(noun):
    prefix = service(noun).prefix
    told = {name.removeprefix(prefix): value for name, value in declared(noun)["environment"].items()}
    vendors = {setting for owner, setting in topology.VENDOR_VARIABLES.values() if owner == noun}
    assert set(told) - CONTAINER_ONLY - vendors == set(expected(noun))
    assert {told[name] for name in vendors} <= {None}  # taken from the environment, unset where it is not set
    for name, value in expected(noun).items():
        if value != "set":
            assert told[name] == value


@pytest.mark.parametrize("noun", NOUNS)
def test_a_container_waits_for_what_it_needs_and_is_built_as_itself(noun):
    assert set(declared(noun)["depends_on"]) == {kebab(n) for n in (*service(noun).servers, *service(noun).calls)}
    assert declared(noun)["build"]["args"] == {"SERVICE": kebab(noun)}


@pytest.mark.parametrize("noun", [s.noun for s in topology.SERVICES if s.books])
def test_a_journal_outlives_its_container_and_is_nobody_elses(noun):
    volume = f"{kebab(noun)}-journal"
    assert declared(noun)["volumes"] == [f"{volume}:{JOURNALS}"]
    assert volume in COMPOSE["volumes"]
    # The folder in the image lends a new volume its owner, who alone may write there.
    assert f"--owner hocket {JOURNALS}" in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_port_is_published_on_loopback_alone_and_none_twice(name):
    published = [p for s in COMPOSE["services"].values() for p in s.get("ports", ())]
    assert all(p.startswith("127.0.0.1:") for p in COMPOSE["services"][name].get("ports", ()))
    assert len(set(published)) == len(published)


def test_livekit_is_the_version_that_runs_locally():
    assert COMPOSE["services"]["livekit"]["image"].endswith(f":{livekit_binary.VERSION}")
    config = yaml.safe_load(COMPOSE["services"]["livekit"]["environment"]["LIVEKIT_CONFIG"])
    assert config["webhook"]["urls"] == [f"http://media-gateway:8080{topology.WEBHOOK_PATH}"]


def test_no_secret_is_written_down():
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    secrets = [line for line in text.splitlines() if "SECRET:" in line or "PASSWORD:" in line]
    assert secrets
    assert all("${HOCKET_" in line for line in secrets)
