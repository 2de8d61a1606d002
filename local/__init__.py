"""The whole mesh on one machine: services, embedded Redis, Postgres and LiveKit, and a demo caller.

`local.mesh.Mesh` starts and stops it; the command `hocket-local`, the demo and the tests use that class.
"""
