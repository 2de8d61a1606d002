"""Search: time budget, BM25 ranking, fusion of rankings, and spelling corrections."""
