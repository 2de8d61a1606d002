"""Processes of the mesh: start in order, restart after a crash, stop in reverse, leave none behind."""
