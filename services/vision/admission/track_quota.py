"""Decides whether a server may hold one more track, by its total and by the tenant's share."""

from __future__ import annotations

from collections import Counter

from services.vision.errors import TooManyTracks


class TrackQuota:
    """Tracks that all streams of this server hold together, limited in total and per tenant."""

    def __init__(self, tracks_max: int, tenant_tracks_max: int | None = None) -> None:
        """Allow `tracks_max` tracks in total and `tenant_tracks_max` per tenant (None: no limit of its own)."""
        self._tracks_max = tracks_max
        self._tenant_tracks_max = tracks_max if tenant_tracks_max is None else tenant_tracks_max
        self._by_tenant: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Tracks held now, over all tenants."""
        return self._by_tenant.total()

    def acquire(self, tenant_id: str) -> None:
        """Count one more track of a tenant.

        Raises:
            TooManyTracks: The server or the tenant holds as many tracks as allowed.
        """
        if self._by_tenant[tenant_id] >= self._tenant_tracks_max:
            raise TooManyTracks(
                f"this server holds {self._tenant_tracks_max} tracks of this tenant, its limit; close unused tracks or"
                " retry on another replica"
            )
        if self.held >= self._tracks_max:
            raise TooManyTracks(
                f"this server holds {self._tracks_max} tracks, its limit; retry on another replica", retry_after_s=1
            )
        self._by_tenant[tenant_id] += 1

    def release(self, tenant_id: str, count: int) -> None:
        """Count `count` tracks of a tenant less."""
        self._by_tenant[tenant_id] -= count
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
