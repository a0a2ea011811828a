"""What items say, by their numbers: the unit of statistics each belongs to, and its truth. Read once for each item.

Items that begin with a key of short text and go on alike are many: what they say beside their key is read once.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.mappings import MOST_KINDS, end_of_key
from embertrace.analysis.table.numbered import Numbered
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
        self.codes: list[bytes] = []
        """Of each unit of an item what tells it from the others."""
        self.truths: list[Any] = []
        self._unit, self._truth = Column(np.int32), Column(np.int32)
        self._unit_numbers, self._truth_numbers, self._identity_numbers = Numbered(), Numbered(), Numbered()
        self._kinds: dict[tuple[int, bytes], int | None] = {}
        self.identities: list[bytes] = []
        """Of each key and epoch, packed one behind the other: in their order, items are in that of keys and epochs."""
        self._identity = Column(np.int32)
        self._having = np.zeros(0, np.int64)
        self._epochs: dict[tuple[int, bytes], bytes] = {}

    @property
    def nbytes(self) -> int:
        """Of what was read of them; they themselves are the contexts'."""
        columns = self._unit.nbytes + self._truth.nbytes + self._identity.nbytes + self._having.nbytes
        texts = (self._unit_numbers, self._truth_numbers, self._identity_numbers)
        return columns + sum(one.nbytes for one in texts)

    def unit(self) -> Array:
        """By an item's number that of its unit."""
        self._catch_up()
        return self._unit.values

    def truth(self) -> Array:
        """By an item's number that of the truth it brought along."""
        self._catch_up()
        return self._truth.values

    def identity(self) -> Array:
        """By an item's number that of its key and epoch; NONE without a key."""
        items = self._contexts.items.packed
        found = array("i", (self._identify(items[number]) for number in range(len(self._identity), len(items))))
        self._identity.extend(np.array(found, np.int32))
        return self._identity.values

    def groups(self, numbers: Array) -> list[Any]:
        """The group of each item, by number; None where it has none."""
        items = self._contexts.items
        says = {number: b"group" in items.packed[number] for number in counted(numbers)[0].tolist()}
        found = {number: items.mapping(number).get("group") if said else None for number, said in says.items()}
        return list(map(found.__getitem__, numbers.tolist()))

    def number_of_identity(self, code: bytes, others: dict[bytes, int]) -> int:
        """The number of a key and epoch; of one that no item has, a number among `others`, above all of them."""
        number = self._identity_numbers.get(code)
        return len(self.identities) + others.setdefault(code, len(others)) if number is None else number

    def with_identity(self, number: int) -> dict[str, Any]:
        """An item that has the key and epoch with a number."""
        if len(self._having) < len(self.identities):
            identity = self.identity()
            keyed = np.flatnonzero(identity != NONE)
            self._having = np.zeros(len(self.identities), np.int64)
            self._having[identity[keyed]] = keyed
        return self._contexts.items.mapping(int(self._having[number]))

    def having(self, key: bytes) -> Array:
        """By an item's number whether it has this key, as `canonical` has it."""
        identity = self.identity()
        has = np.fromiter((code.startswith(key) for code in self.identities), bool, len(self.identities))
        found: Array = np.append(has, False)[identity]  # NONE is the last
        return found

    def saying(self, wanted: str) -> Array:
        """By an item's number whether its key or its truth has this text in it, upper and lower case alike."""
        truths: dict[tuple[int, bytes], bool] = {}
        items = self._contexts.items.packed
        return np.fromiter((self._says(packed, wanted.casefold(), truths) for packed in items), bool, len(items))

    @staticmethod
    def _says(packed: bytes, folded: str, truths: dict[tuple[int, bytes], bool]) -> bool:
        end = end_of_key(packed)
        if not end:
            item = unpack_mapping(packed) if packed else {}
            return any(folded in str(item.get(name, "")).casefold() for name in ("key", "truth"))
        kind = packed[0], packed[end:]
        if kind not in truths:
            truths[kind] = folded in str(unpack_mapping(packed).get("truth", "")).casefold()
        return truths[kind] or folded in packed[6:end].decode().casefold()

    def _identify(self, packed: bytes) -> int:
        end = end_of_key(packed)
        if not end:
            item = unpack_mapping(packed) if packed else {}
            if "key" not in item:
                return NONE
            code = canonical(item["key"]) + canonical(item.get("epoch"))
        else:
            kind = packed[0], packed[end:]
            epoch = self._epochs.get(kind)
            if epoch is None:
                epoch = canonical(unpack_mapping(packed).get("epoch"))
                if len(self._epochs) < MOST_KINDS:
                    self._epochs[kind] = epoch
            code = packed[5:end] + epoch
        number = self._identity_numbers[code]
        if number == len(self.identities):
            self.identities.append(code)
        return number

    def _catch_up(self) -> None:
        items = self._contexts.items.packed
        units, truths = array("i"), array("i")
        for number in range(len(self._unit), len(items)):
            unit, truth = self._look(items[number])
            units.append(unit)
            truths.append(truth)
        self._unit.extend(np.array(units, np.int32))
        self._truth.extend(np.array(truths, np.int32))

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
        return self._number(_PACKED_KEY + packed[5:end]), truth

    def _read(self, packed: bytes) -> tuple[int, int]:
        item = unpack_mapping(packed) if packed else {}
        unit, truth = unit_of_item(item), item.get("truth")
        return NONE if unit is None else self._number(unit[1]), self.number_of_truth(truth)

    def _number(self, code: bytes) -> int:
        number = self._unit_numbers[code]
        if number == len(self.codes):
            self.codes.append(code)
        return number

    def truths_numbered(self, numbers: Array) -> list[Any]:
        """The truths with these numbers; None for NONE."""
        return list(map([*self.truths, None].__getitem__, numbers.tolist()))  # NONE is the last

    def number_of_truth(self, truth: Any) -> int:
        """The number of a truth, new or known; NONE of None."""
        if truth is None:
            return NONE
        number = self._truth_numbers[canonical(truth)]
        if number == len(self.truths):
            self.truths.append(truth)
        return number


_PACKED_KEY = canonical(["key", ""])[:-1]
