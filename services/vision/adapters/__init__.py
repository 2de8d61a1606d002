"""What stands behind the ports: Redis, memory, image files."""
