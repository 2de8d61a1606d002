"""A synthetic caller: joins a LiveKit room as a person would, speaks, shows a screen, listens, and keeps the time.

Every time it reports is on the caller's clock (`time.monotonic`): from the moment the last sample of a question was
handed to the client SDK to the moment the SDK yields the first loud sample of the answer.
"""
