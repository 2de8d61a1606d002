"""Redis, Postgres and their twins in memory, behind the ports."""
