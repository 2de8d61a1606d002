"""Environment of each service, derived from the topology."""

from __future__ import annotations

import importlib

import pytest

from hocket.chassis.settings import variables
from local import topology
from local.topology import NOUNS, MeshConfig, Ports, find_service, migration_environment, service_environment

CONFIG = MeshConfig(
    jwt_secret="s" * 32,
    redis_url="redis://r",
    postgres_app_url="postgresql://app",
    postgres_owner_url="postgresql://owner",
    livekit={"URL": "ws://l", "API_KEY": "k", "API_SECRET": "s"},
    targets={noun: f"127.0.0.1:{n}" for n, noun in enumerate(NOUNS, start=1)},
)
PORTS = Ports(grpc=1001, ops=1002, http=1003)


def env_of(noun, inherited=None, config=CONFIG):
    return service_environment(find_service(noun), PORTS, config, inherited=inherited or {})


@pytest.mark.parametrize("noun", NOUNS)
def test_every_variable_is_a_setting_of_the_service(noun):
    known = {name for name, _ in variables(importlib.import_module(f"services.{noun}.settings").Settings)}
    assert {name for name in env_of(noun) if name.startswith("HOCKET_")} - known == set()


@pytest.mark.parametrize(("vendor", "place"), topology.VENDOR_VARIABLES.items())
def test_vendor_key_reaches_only_its_service(vendor, place):
    owner, setting = place
    holders = {noun for noun in NOUNS if "secret" in env_of(noun, {vendor: "secret"}).values()}
    assert holders == {owner}
    assert env_of(owner, {vendor: "secret"})[f"HOCKET_{owner.upper()}_{setting}"] == "secret"


@pytest.mark.parametrize("vendor", topology.VENDOR_VARIABLES)
def test_vendor_key_is_a_setting_of_its_service(vendor):
    noun, setting = topology.VENDOR_VARIABLES[vendor]
    known = {name for name, _ in variables(importlib.import_module(f"services.{noun}.settings").Settings)}
    assert f"HOCKET_{noun.upper()}_{setting}" in known


def test_server_urls_reach_only_the_services_that_use_them():
    holders = {noun for noun in NOUNS if "postgresql://app" in env_of(noun).values()}
    assert holders == {"ratelimit", "rag"}
    assert not any("postgresql" in value or "redis" in value for value in env_of("speech").values())


def test_only_the_migration_holds_the_url_of_the_schema_owner():
    given = {"HOCKET_RAG_POSTGRES_MIGRATION_URL_FILE": "/run/owner", "HOCKET_RAG_LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    assert not any("postgresql://owner" in env_of(noun).values() for noun in NOUNS)
    assert "/run/owner" not in env_of("rag", given).values()
    migrated = {s.noun for s in topology.SERVICES if s.migration_argv}
    assert migrated == {"ratelimit", "rag"}
    for noun in migrated:
        env = migration_environment(find_service(noun), CONFIG, inherited={"PATH": "/bin"})
        assert env == {"PATH": "/bin", f"HOCKET_{noun.upper()}_POSTGRES_MIGRATION_URL": "postgresql://owner"}
    own = migration_environment(find_service("rag"), CONFIG, inherited=given)
    assert own == {"PATH": "/bin", "HOCKET_RAG_POSTGRES_MIGRATION_URL_FILE": "/run/owner"}


def test_inherited_settings_override_the_topology():
    inherited = {"HOCKET_RAG_REDIS_URL": "redis://mine", "HOCKET_RAG_LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    env = env_of("rag", inherited)
    assert (env["HOCKET_RAG_REDIS_URL"], env["HOCKET_RAG_LOG_LEVEL"], env["PATH"]) == ("redis://mine", "DEBUG", "/bin")
    assert "HOCKET_RAG_LOG_LEVEL" not in env_of("vision", inherited)


def test_services_that_record_costs_get_a_journal_file():
    config = MeshConfig(jwt_secret="s" * 32, journals="/data/journals")
    kept = {noun: env_of(noun, config=config).get(f"HOCKET_{noun.upper()}_COST_JOURNAL_FILE") for noun in NOUNS}
    assert {noun: file for noun, file in kept.items() if file} == {
        noun: f"/data/journals/{noun}.jsonl" for noun in ("rag", "llm_router", "speech")
    }


def test_missing_peers_and_servers_are_not_set():
    alone = env_of("rag", config=MeshConfig(jwt_secret="s" * 32))
    assert "HOCKET_RAG_RATELIMIT_TARGET" not in alone
    assert "HOCKET_RAG_POSTGRES_URL" not in alone


def test_services_are_declared_after_their_dependencies():
    order = [s.noun for s in topology.SERVICES]
    for declared in topology.SERVICES:
        assert all(order.index(peer) < order.index(declared.noun) for peer in declared.calls)
        assert set(declared.servers) <= set(topology.SERVERS)
