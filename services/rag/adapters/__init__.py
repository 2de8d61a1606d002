"""What rag's ports stand on: Postgres, the Voyage API, Redis, the ratelimit service, and in-memory twins."""
