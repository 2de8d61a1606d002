"""Text analysis shared by ingestion and search: terms and stems."""
