"""What one room costs each process of the mesh: the figures behind docs/capacity.md."""
