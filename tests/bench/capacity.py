"""docs/capacity.md: what one aggregator and N of them carry, computed from what was measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def page(results: Sequence[dict[str, Any]]) -> str:
    return "# Capacity\n"
