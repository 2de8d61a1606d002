"""media_gateway decides whether to accept a job and when a turn begins and ends. It is the only code that uses LiveKit.

It holds no model, prompt or price; see README.md for the path of a turn.
"""
