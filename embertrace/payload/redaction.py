"""What must not leave the operator's process."""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = "[redacted]"


class Redaction:
    """What must not leave the operator's process: values under matching key names, and matching text."""

    def __init__(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        names = [re.escape(key) for key in keys]
        self._key = re.compile("|".join(names), re.IGNORECASE) if names else None
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def hides_key(self, key: object) -> bool:
        return self._key is not None and type(key) is str and self._key.search(key) is not None

    def clean(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text
