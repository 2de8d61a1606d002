"""Dispatch of agents to rooms, on joins, webhooks and a periodic sweep."""
