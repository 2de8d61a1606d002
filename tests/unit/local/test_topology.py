"""What a service is told follows from the topology, and every variable is one that the service reads."""

from __future__ import annotations

import importlib

import pytest

from hocket.chassis.settings import variables
from local import topology
from local.topology import NOUNS, Ports, Surroundings, environment, service

AROUND = Surroundings(
    jwt_secret="s" * 32,
    redis_url="redis://r",
    postgres_app_url="postgresql://app",
    postgres_owner_url="postgresql://owner",
    livekit={"URL": "ws://l", "API_KEY": "k", "API_SECRET": "s"},
    targets={noun: f"127.0.0.1:{n}" for n, noun in enumerate(NOUNS, start=1)},
)
PORTS = Ports(grpc=1001, ops=1002, http=1003)


def told(noun, outer=None, around=AROUND):
    return environment(service(noun), PORTS, around, outer=outer or {})


@pytest.mark.parametrize("noun", NOUNS)
def test_a_service_reads_every_variable_that_it_is_given(noun):
    known = {name for name, _ in variables(importlib.import_module(f"services.{noun}.settings").Settings)}
    assert {name for name in told(noun) if name.startswith("HOCKET_")} - known == set()


@pytest.mark.parametrize(("vendor", "place"), topology.VENDOR_VARIABLES.items())
def test_a_vendors_key_reaches_the_service_that_uses_it_and_no_other(vendor, place):
    owner, setting = place
    holders = {noun for noun in NOUNS if "secret" in told(noun, {vendor: "secret"}).values()}
    assert holders == {owner}
    assert told(owner, {vendor: "secret"})[f"HOCKET_{owner.upper()}_{setting}"] == "secret"


@pytest.mark.parametrize("vendor", topology.VENDOR_VARIABLES)
def test_a_vendors_key_is_a_setting_of_its_service(vendor):
    noun, setting = topology.VENDOR_VARIABLES[vendor]
    known = {name for name, _ in variables(importlib.import_module(f"services.{noun}.settings").Settings)}
    assert f"HOCKET_{noun.upper()}_{setting}" in known


def test_servers_are_named_to_those_that_speak_to_them_alone():
    holders = {noun for noun in NOUNS if "postgresql://owner" in told(noun).values()}
    assert holders == {"ratelimit", "rag"}
    assert not any("postgresql" in value or "redis" in value for value in told("speech").values())


def test_what_the_person_set_wins_over_the_topology():
    outer = {"HOCKET_RAG_REDIS_URL": "redis://mine", "HOCKET_RAG_LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    env = told("rag", outer)
    assert (env["HOCKET_RAG_REDIS_URL"], env["HOCKET_RAG_LOG_LEVEL"], env["PATH"]) == ("redis://mine", "DEBUG", "/bin")
    assert "HOCKET_RAG_LOG_LEVEL" not in told("vision", outer)


def test_who_buys_from_vendors_keeps_a_journal_of_what_is_not_booked_yet():
    around = Surroundings(jwt_secret="s" * 32, journals="/data/journals")
    kept = {noun: told(noun, around=around).get(f"HOCKET_{noun.upper()}_COST_JOURNAL_FILE") for noun in NOUNS}
    assert {noun: file for noun, file in kept.items() if file} == {
        noun: f"/data/journals/{noun}.jsonl" for noun in ("rag", "llm_router", "speech")
    }


def test_a_peer_that_does_not_run_is_not_named():
    alone = told("rag", around=Surroundings(jwt_secret="s" * 32))
    assert "HOCKET_RAG_RATELIMIT_TARGET" not in alone
    assert "HOCKET_RAG_POSTGRES_URL" not in alone


def test_servers_and_peers_start_before_those_that_need_them():
    order = [s.noun for s in topology.SERVICES]
    for declared in topology.SERVICES:
        assert all(order.index(peer) < order.index(declared.noun) for peer in declared.calls)
        assert set(declared.servers) <= set(topology.SERVERS)
