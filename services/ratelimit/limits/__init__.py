"""The configured limits, and the requests against them: which limit applies, and whether a request is well formed."""
