"""`python -m embertrace …`: the same as `embertrace …`, where scripts are not on the path."""

from __future__ import annotations

from embertrace.cli import main

if __name__ == "__main__":
    main()
