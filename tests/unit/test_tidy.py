"""The rules of the house that a reader would want kept: sizes, names, rooms, and decisions that stay pure."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("hocket", "services", "local", "scripts", "examples", "bench")
SERVICES = sorted(p.name for p in (ROOT / "services").iterdir() if (p / "__init__.py").exists())

FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
MAIN_LINES_MAX = 100
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "handler", "core", "lib"}
ROOMS = ("__init__.py", "__main__.py", "settings.py", "server.py", "flow.py", "ports.py", "errors.py", "adapters")

# Modules at the top of a service that touch the outside; the others are decisions and pure.
OUTER_ROOMS = {"__main__", "settings", "server", "flow"}
# Rooms of each service that are no decisions; import-linter contracts in pyproject.toml keep the others pure.
LAYERED = {
    # Rooms and modules that wait for ports or translate protobuf; tests/contract covers them.
    "llm_router": {
        *(
            "commands",
            "wire",
            "admit.py",
            "attempt_runner.py",
            "attempt.py",
            "hedging.py",
            "prewarm.py",
            "settlement.py",
        ),
    },
    "media_gateway": {"dispatch", "http", "session"},
    "rag": set[str](),
    "ratelimit": set[str](),
    "speech": set[str](),
    "vision": set[str](),
}
# Top modules that are no decisions either.
OUTER_ROOMS_LAYERED = OUTER_ROOMS | {"envoy_server", "telemetry", "wire"}
CLOCKS = {
    *(("time", "time"), ("time", "monotonic"), ("time", "perf_counter")),
    *(("datetime", "now"), ("datetime", "utcnow")),
}


def files(*folders: str) -> list[Path]:
    found = (p for folder in folders for p in (ROOT / folder).rglob("*.py"))
    return sorted(p for p in found if "__pycache__" not in p.parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names(paths) -> list[str]:
    return [str(p.relative_to(ROOT)) for p in paths]


def imported(path: Path) -> set[str]:
    """Modules that `path` imports anywhere, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def decisions(service: str) -> list[Path]:
    """Modules of a service that decide, at its top and in its rooms."""
    folder = ROOT / "services" / service
    top = [p for p in sorted(folder.glob("*.py")) if p.stem not in OUTER_ROOMS_LAYERED]
    outer_rooms = {"adapters"} | LAYERED[service]
    modules = files(f"services/{service}")
    inner = [p for p in modules if p.parent != folder and not outer_rooms & set(p.relative_to(folder).parts)]
    return top + [p for p in inner if p.stem != "__init__"]


def test_no_file_is_too_long_to_read_in_one_sitting():
    limits = dict.fromkeys(files(*PRODUCT), FILE_LINES_MAX) | dict.fromkeys(files("tests"), TEST_FILE_LINES_MAX)
    long = {str(p.relative_to(ROOT)): n for p in limits if (n := p.read_text().count("\n")) > limits[p]}
    assert long == {}


def test_no_function_is_too_long_to_see_at_once():
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
        for path in files(*PRODUCT)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_a_module_is_named_after_what_it_decides():
    assert names(p for p in files(*PRODUCT) if p.stem in VAGUE_NAMES or p.parent.name in VAGUE_NAMES) == []


def test_annotations_cost_nothing_at_run_time_in_any_module():
    def says_so(path: Path) -> bool:
        body = tree(path).body
        # A package that only says what it is, or names again what it holds.
        plain = all(isinstance(n, ast.Expr | ast.ImportFrom | ast.Assign) for n in body)
        return plain or "__future__" in imported(path)

    assert names(p for p in files(*PRODUCT) if not says_so(p)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service):
    folder = ROOT / "services" / service
    assert [room for room in ROOMS if not (folder / room).exists()] == []
    assert ast.get_docstring(tree(folder / "__init__.py"))
    assert (folder / "__main__.py").read_text().count("\n") <= MAIN_LINES_MAX


@pytest.mark.parametrize("service", SERVICES)
def test_decisions_are_told_the_time(service):
    guilty = {
        f"{path.name}:{node.lineno}"
        for path in decisions(service)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in CLOCKS
    }
    assert guilty == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_decision_has_unit_tests_and_every_service_contract_tests(service):
    """A decision is tested when a file of tests/unit/<service> imports it."""
    tested = set[str]().union(*map(imported, files(f"tests/unit/{service}")))
    plain = {"__init__", "ports", "errors", "events", "answer_events", "telemetry"}
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in decisions(service) if p.stem not in plain]
    untested = [name for name in modules if name not in tested]
    assert untested == []
    assert files(f"tests/contract/{service}")


def test_the_chassis_stays_small_and_holds_no_business_word():
    # What every service must survive (signals, service links, missing files, rotation) is here once, or six times.
    assert sum(p.read_text().count("\n") for p in files("hocket/chassis")) <= 2900
    nouns = set(SERVICES) - {"speech"}
    assert [
        n for p in files("hocket/chassis") for n in nouns if any(m.startswith(f"services.{n}") for m in imported(p))
    ] == []


def test_every_call_to_a_peer_can_be_mutual_tls():
    """A channel made without `tls` stays in plain text whatever the settings say."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files("services")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"MeshChannel", "CostRecorder"}
        and "tls" not in {keyword.arg for keyword in node.keywords}
    ]
    assert bare == []
