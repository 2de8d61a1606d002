"""In-memory data of the example backend, one store per tenant."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORDS_MAX = 10_000  # per kind and tenant; bounds the memory of an example that keeps running


class Full(Exception):
    """The tenant has reached RECORDS_MAX records."""


class KeyReused(Exception):
    """An idempotency key was reused with a different body."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task. `due` is text in the words of the user, "" for none."""

    task_id: str
    title: str
    due: str
    room: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Insight:
    """A fact about a user that an agent recorded."""

    insight_id: str
    text: str
    room: str
    user_id: str


@dataclass(slots=True)
class TenantStore:
    """Data of one tenant.

    Attributes:
        settings: settings of the agent.
        users: user id -> profile.
        tasks: task id -> task.
        insights: insight id -> insight.
    """

    settings: Mapping[str, Any]
    users: Mapping[str, Mapping[str, str]]
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    insights: dict[str, Insight] = field(default_factory=dict[str, Insight])
    _by_key: dict[str, tuple[Any, Task]] = field(default_factory=dict[str, tuple[Any, Task]])

    def user(self, user_id: str) -> Mapping[str, str]:
        """Return the profile of a user; for an unknown user the name is the id and the notes are empty."""
        known = self.users.get(user_id, {})
        return {"user_id": user_id, "display_name": known.get("display_name", user_id), "notes": known.get("notes", "")}

    def create_task(self, title: str, due: str, room: str, user_id: str, key: str) -> Task:
        """Create a task, or return the task that the same request created.

        Args:
            title: what to do.
            due: when, in the words of the user; "" for none.
            room: room of the conversation.
            user_id: the user.
            key: idempotency key; "" for none.

        Raises:
            KeyReused: `key` belongs to a request with other values.
            Full: the tenant has RECORDS_MAX tasks.
        """
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
        """Return all tasks, oldest first."""
        return [asdict(task) for task in self.tasks.values()]

    def log_insight(self, text: str, room: str, user_id: str) -> Insight:
        """Create an insight.

        Raises:
            Full: the tenant has RECORDS_MAX insights.
        """
        if len(self.insights) >= RECORDS_MAX:
            raise Full
        insight = Insight(str(uuid.uuid4()), text, room, user_id)
        self.insights[insight.insight_id] = insight
        return insight


def read_tenants(path: Path) -> dict[str, TenantStore]:
    """Read tenant id -> data from JSON: {"<tenant_id>": {"settings": {...}, "users": {"<user_id>": {...}}}}."""
    tenants: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: TenantStore(each["settings"], each.get("users", {})) for name, each in tenants.items()}
