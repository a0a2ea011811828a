"""Libraries that only some questions need: imported where they are asked, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from embertrace.errors import MissingExtraError


def library(module: str, feature: str, extra: str = "stats") -> Any:
    """The module. Raises MissingExtraError, which names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(feature, extra) from error
