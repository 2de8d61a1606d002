"""Example programs that call the mesh."""
