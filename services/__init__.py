"""The six services of the mesh; each is a package with the same rooms."""
