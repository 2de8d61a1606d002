"""Sub-commands of `hocket-llm-router`: `score` and `fit`."""
