"""llm_router: decides the tier and model of each request, streams the answer, and records what it cost."""
