"""media_gateway decides whether to accept a job and when a turn begins and ends; the only code that knows LiveKit.

For the people in a room: they speak, show and write, and an agent answers. No model, no prompt, no price lives here.
"""
