"""Decides which frames of a video are new, for gateways that watch live tracks and for callers with whole frames.

Objective: at least 20,000 verdicts a second and core in batches, 20 us of decision each; every cut kept within 200 ms,
every settled change of a word or a page within a second, at a tenth to a seventh of the frames.
"""
