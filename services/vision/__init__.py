"""Decides which frames of a video are new, for live tracks (Watch) and for whole frames (Dedup).

Objective: at least 20,000 verdicts per second and core in batches, 20 us each; every cut kept within 200 ms and every
settled change of a word or a page within 1 s, at a tenth to a seventh of the frames. README.md describes the rooms.
"""
