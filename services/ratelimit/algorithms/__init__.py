"""Rate-limiting algorithms as pure functions over integers: sliding log, GCRA and concurrency slots."""
