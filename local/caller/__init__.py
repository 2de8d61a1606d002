"""A synthetic caller: joins a LiveKit room, speaks, shares a screen, listens, and measures latency.

Latency is measured on the clock of the caller (`time.monotonic`), from the handover of the last sample of a question
to the client SDK until the SDK delivers the first loud sample of the answer.
"""
