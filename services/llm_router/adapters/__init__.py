"""Adapters of the ports: vendor SDKs, the mesh services, shared state, files."""
