"""The agent of one room: a livekit-agents session over the services of the mesh, in a process of its own."""
