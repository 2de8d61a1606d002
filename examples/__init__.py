"""Small programs that use the mesh: read them, copy them."""
