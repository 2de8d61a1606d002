"""Run the demo: `python -m local.demo`."""

from __future__ import annotations

from local.demo.command import main

if __name__ == "__main__":
    main()
