"""State that replicas share through Redis, and its in-memory form."""
