"""What items say, by their numbers: the unit of statistics each belongs to, and its truth. Read once for each item.

Items that begin with a key of short text and go on alike are many: what they say beside their key is read once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.contexts import MOST_KINDS, Contexts, end_of_key
from embertrace.lineage import unpack_mapping
from embertrace.payload import canonical

Unit = tuple[str, bytes]
"""What is drawn at random: ("item", its group or key) or ("call", its id)."""
NONE = -1


def unit_of_item(item: Mapping[str, Any]) -> Unit | None:
    """The group of an item, else its key; None where it has neither."""
    if "key" not in item:
        return None
    group = item.get("group")
    return "item", canonical(["group", group] if group is not None else ["key", item["key"]])


class Items:
    """Units and truths of the items in contexts; both are numbered, NONE is none."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self.units: list[Unit] = []
        self.truths: list[Any] = []
        self._unit, self._truth = Column(np.int32), Column(np.int32)
        self._unit_numbers: dict[Unit, int] = {}
        self._truth_numbers: dict[bytes, int] = {}
        self._kinds: dict[tuple[int, bytes], int | None] = {}

    def unit(self) -> Array:
        """By an item's number that of its unit."""
        self._catch_up()
        return self._unit.values

    def truth(self) -> Array:
        """By an item's number that of the truth it brought along."""
        self._catch_up()
        return self._truth.values

    def _catch_up(self) -> None:
        packed = self._contexts.items.packed[len(self._unit) :]
        if packed:
            units, truths = zip(*map(self._look, packed), strict=True)
            self._unit.extend(np.array(units))
            self._truth.extend(np.array(truths))

    def _look(self, packed: bytes) -> tuple[int, int]:
        end = end_of_key(packed)
        if not end:
            return self._read(packed)
        kind = packed[0], packed[end:]
        truth = self._kinds.get(kind)
        if truth is None:
            found = self._read(packed)
            if b"\xa5group" not in kind[1] and len(self._kinds) < MOST_KINDS:
                self._kinds[kind] = found[1]
            return found
        return self._number(("item", _PACKED_KEY + packed[5:end])), truth

    def _read(self, packed: bytes) -> tuple[int, int]:
        item = unpack_mapping(packed) if packed else {}
        unit, truth = unit_of_item(item), item.get("truth")
        return NONE if unit is None else self._number(unit), self.number_of_truth(truth)

    def _number(self, unit: Unit) -> int:
        number = self._unit_numbers.get(unit)
        if number is None:
            number = self._unit_numbers[unit] = len(self.units)
            self.units.append(unit)
        return number

    def number_of_truth(self, truth: Any) -> int:
        """The number of a truth, new or known; NONE of None."""
        if truth is None:
            return NONE
        code = canonical(truth)
        number = self._truth_numbers.get(code)
        if number is None:
            number = self._truth_numbers[code] = len(self.truths)
            self.truths.append(truth)
        return number


_PACKED_KEY = canonical(["key", ""])[:-1]
