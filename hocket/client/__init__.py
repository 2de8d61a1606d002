"""Small typed async clients of the mesh: what a caller imports."""
