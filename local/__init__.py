"""The whole mesh on one machine: one topology, embedded Redis, Postgres and LiveKit, and a supervisor that owns them.

`local.mesh.Mesh` is what the demo, the end-to-end tests and the command `hocket-local` stand on.
"""
