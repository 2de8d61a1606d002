"""Limits how many tracks a server holds, in total and per tenant."""

from __future__ import annotations

from collections import Counter

from services.vision.errors import TooManyTracks


class TrackQuota:
    """How many tracks all streams of this server hold together, and how many of one tenant, so that none fills it."""

    def __init__(self, tracks_max: int, tenant_tracks_max: int | None = None) -> None:
        """Allow `tracks_max`, of them `tenant_tracks_max` to one tenant (None: all of them)."""
        self._tracks_max = tracks_max
        self._tenant_tracks_max = tracks_max if tenant_tracks_max is None else tenant_tracks_max
        self._by_tenant: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Tracks held now."""
        return self._by_tenant.total()

    def take(self, tenant_id: str) -> None:
        """Hold one more. Raises TooManyTracks."""
        if self._by_tenant[tenant_id] >= self._tenant_tracks_max:
            raise TooManyTracks(
                f"this server holds {self._tenant_tracks_max} tracks of this tenant, as many as it may; idle ones give"
                " way after a while, or call another replica"
            )
        if self.held >= self._tracks_max:
            raise TooManyTracks("this server holds as many tracks as it may; call another replica", retry_after_s=1)
        self._by_tenant[tenant_id] += 1

    def give_back(self, tenant_id: str, count: int) -> None:
        """Hold `count` fewer."""
        self._by_tenant[tenant_id] -= count
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
