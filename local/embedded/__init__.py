"""Redis, Postgres and LiveKit as child processes on loopback; a URL in the environment replaces each."""
