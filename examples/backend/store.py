"""What the backend remembers, one store a tenant, in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORDS_MAX = 10_000  # of each kind and tenant, so that an example left running does not eat the machine


class Full(Exception):
    """A tenant has as many records as the backend keeps."""


class KeyReused(Exception):
    """An idempotency key came back with another body."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do. `due` is as the person said it, empty for none."""

    task_id: str
    title: str
    due: str
    room: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Insight:
    """Something worth remembering about a person."""

    insight_id: str
    text: str
    room: str
    user_id: str


@dataclass(slots=True)
class TenantStore:
    """Everything of one tenant."""

    settings: Mapping[str, Any]
    users: Mapping[str, Mapping[str, str]]
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    insights: dict[str, Insight] = field(default_factory=dict[str, Insight])
    _by_key: dict[str, tuple[Any, Task]] = field(default_factory=dict[str, tuple[Any, Task]])

    def user(self, user_id: str) -> Mapping[str, str]:
        """The profile of `user_id`; a stranger has one without notes."""
        known = self.users.get(user_id, {})
        return {"user_id": user_id, "display_name": known.get("display_name", user_id), "notes": known.get("notes", "")}

    def create_task(self, title: str, due: str, room: str, user_id: str, key: str) -> Task:
        """A new task, or the one that `key` already made. Raises KeyReused, Full."""
        wanted = (title, due, room, user_id)
        if key in self._by_key:
            before, task = self._by_key[key]
            if before != wanted:
                raise KeyReused
            return task
        if len(self.tasks) >= RECORDS_MAX:
            raise Full
        task = Task(str(uuid.uuid4()), title, due, room, user_id)
        self.tasks[task.task_id] = task
        if key:
            self._by_key[key] = (wanted, task)
        return task

    def list_tasks(self) -> list[dict[str, str]]:
        """Every task, oldest first."""
        return [asdict(task) for task in self.tasks.values()]

    def log_insight(self, text: str, room: str, user_id: str) -> Insight:
        """A new insight. Raises Full."""
        if len(self.insights) >= RECORDS_MAX:
            raise Full
        insight = Insight(str(uuid.uuid4()), text, room, user_id)
        self.insights[insight.insight_id] = insight
        return insight


def read_tenants(path: Path) -> dict[str, TenantStore]:
    """The tenants of a JSON file: {"<tenant_id>": {"settings": {...}, "users": {"<user_id>": {...}}}}."""
    tenants: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: TenantStore(each["settings"], each.get("users", {})) for name, each in tenants.items()}
