"""Redis, Postgres and LiveKit as processes of our own on loopback; a URL in the settings replaces each."""
