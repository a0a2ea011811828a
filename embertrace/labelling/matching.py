"""Which items the keys of a file name. Pure: `unknown` is whoever can be asked.

A key in a file is text. Where no item has that text as its key and it is a whole number, the item of that number is
meant, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from embertrace.labelling.rows import Row
from embertrace.payload import canonical

Target = list[Any]
"""[key, epoch, run]"""
Unknown = Callable[[Sequence[Target]], Iterable[dict[str, Any]]]

MAX_ASKED_BYTES = 32 * 1024
"""Of one question: half of what a request may have, for what is around the keys."""
MAX_DIGITS = 18
"""An integer that msgpack holds as one."""


class Found(NamedTuple):
    """The labels, each with the key that items have, and the keys that no item has."""

    labels: list[Row]
    unknown: tuple[Any, ...]


def match(labels: Sequence[Row], run: str | None, unknown: Unknown) -> Found:
    """Each label with its item's own key."""
    missing = _unknown([[row.key, row.epoch, run] for row in labels], unknown)
    numbers = [place for place in sorted(missing) if _is_number(labels[place].key)]
    still = _unknown([[int(labels[place].key), labels[place].epoch, run] for place in numbers], unknown)
    meant = {place: int(labels[place].key) for at, place in enumerate(numbers) if at not in still}
    found = [row._replace(key=meant.get(place, row.key)) for place, row in enumerate(labels)]
    nowhere = [labels[place].key for place in sorted(missing - meant.keys())]
    return Found(found, tuple(dict.fromkeys(nowhere)))


def _unknown(targets: Sequence[Target], unknown: Unknown) -> set[int]:
    """The places of those that nobody saw, asked in pieces that fit into a request."""
    found: set[int] = set()
    start = size = 0
    for place, target in enumerate(targets):
        more = len(canonical(target)) + 16
        if size + more > MAX_ASKED_BYTES and place > start:
            found |= {start + row["place"] for row in unknown(targets[start:place])}
            start, size = place, 0
        size += more
    if start < len(targets):
        found |= {start + row["place"] for row in unknown(targets[start:])}
    return found


def _is_number(key: Any) -> bool:
    text = str(key).removeprefix("-")
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and str(int(key)) == str(key)
