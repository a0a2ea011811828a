"""What a person sees of an answer key: the value it can be read back as, else what somebody said who gave it.

Keys of mappings, of cut values and of texts that are no UTF-8 can't be read back. Of several values with one such key
(a rule may compare less than was said) the first when packed is shown, so that order and shards can't matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from embertrace.analysis.answers import is_readable
from embertrace.payload import canonical, unpack


class Shown:
    """Values by key: a partial state."""

    def __init__(self) -> None:
        self._samples: dict[bytes, tuple[bytes, Any]] = {}

    def take(self, key: bytes, value: Any) -> None:
        """Keep the value for its key, if that can't say itself what it is of."""
        if not is_readable(key):
            self._keep(key, (canonical(value), value))

    def merge(self, other: Shown) -> Shown:
        for key, sample in other._samples.items():
            self._keep(key, sample)
        return self

    def _keep(self, key: bytes, sample: tuple[bytes, Any]) -> None:
        known = self._samples.get(key)
        if known is None or sample[0] < known[0]:
            self._samples[key] = sample

    def of(self, key: bytes) -> Any:
        """The value of a key that was taken, or can be read back."""
        return self._samples[key][1] if key in self._samples else unpack(key)

    def names(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """By key a text for people, in the order of keys; what has the same text is told apart."""
        values = {key: self.of(key) for key in sorted(keys)}
        often = Counter(str(value) for value in values.values())
        texts = {
            key: str(value) if often[str(value)] == 1 and _can_be_sent(str(value)) else repr(value)
            for key, value in values.items()
        }
        often = Counter(texts.values())
        return {
            key: text if often[text] == 1 else f"{text} #{place}" for place, (key, text) in enumerate(texts.items())
        }


def _can_be_sent(text: str) -> bool:
    """Whether it is UTF-8: neither msgpack nor JSON has lone surrogates."""
    return text.encode("utf-8", "replace").decode() == text
