"""Shared library of all services: server, channel, errors, identity, deadlines, telemetry. No business logic."""
