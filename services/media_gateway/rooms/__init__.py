"""Rules for rooms and jobs: names on LiveKit, request limits, when an agent is dispatched, which jobs are accepted.

Pure functions and frozen values; the current time is an argument.
"""
