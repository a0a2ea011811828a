"""What items say, by their numbers: the unit of statistics each belongs to, and its truth. Read once for each item.

Items that begin with a key of ASCII text and go on alike are many: what they say beside their key is read once, and
keys are told apart as stretches of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embertrace.analysis.table.column import Array, Column
from embertrace.analysis.table.contexts import Contexts
from embertrace.analysis.table.counting import counted, dense, firsts, together
from embertrace.analysis.table.mappings import apart_from_keys, end_of_key, text_at
from embertrace.analysis.table.numbered import Numbered, Numbers
from embertrace.lineage import unpack_mapping
from embertrace.payload import canonical
from embertrace.wire.spans import PADDING, alike, pieces

Unit = tuple[str, bytes]
"""What is drawn at random: ("item", its group or key) or ("call", its id)."""
NONE = -1


def unit_of_item(item: Mapping[str, Any]) -> Unit | None:
    """The group of an item, else its key; None where it has neither."""
    return ("item", _code_of_unit(item)) if "key" in item else None


def _code_of_unit(item: Mapping[str, Any]) -> bytes:
    group = item.get("group")
    return canonical(["group", group] if group is not None else ["key", item["key"]])


class _Plain:
    """Of new items those that begin with a key of ASCII text: their places, and the `kind` of each.

    Items of one kind differ in their keys alone: of each kind one was read, and `says` what it says. `others` are the
    places of the other items.
    """

    def __init__(self, packed: Sequence[bytes]) -> None:
        lengths = np.fromiter(map(len, packed), np.int64, len(packed))
        starts = np.cumsum(lengths) - lengths
        self._buffer = b"".join([*packed, bytes(PADDING)])
        ends, first = apart_from_keys(self._buffer, starts, lengths)
        self.place, self.others = np.flatnonzero(ends), np.flatnonzero(ends == 0).tolist()
        self._key, self._end = (starts + _BEFORE_KEY)[self.place], (starts + ends)[self.place]
        self.kind = dense(first[self.place])
        self.says = [unpack_mapping(packed[place]) for place in counted(first[self.place])[0].tolist()]

    def keys(self, wanted: Array, of_kind: Array) -> tuple[list[bytes], Array, Array]:
        """The distinct packed keys of the kinds that are wanted, told apart also by a number `of_kind`; a kind of each,
        and for every item with such a kind which of these keys it has."""
        at = np.flatnonzero(wanted[self.kind])
        start, length = self._key[at], (self._end - self._key)[at]
        first = alike(self._buffer, start, length)
        if of_kind.any():
            first = firsts(together(first, of_kind[self.kind[at]]))
        own, index = np.flatnonzero(first == np.arange(len(first))), np.empty(len(first), np.int64)
        index[own] = np.arange(len(own))
        return pieces(self._buffer, start[own], length[own]), self.kind[at[own]], index[first]


class Items:
    """Units and truths of the items in contexts; both are numbered, NONE is none."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._units = Numbers()
        self.truths: list[Any] = []
        self._unit, self._truth = Column(np.int32), Column(np.int32)
        self._truth_numbers = Numbered()
        self._identity = Column(np.int32)
        self._having = np.zeros(0, np.int64)
        self._identities = Numbers()

    @property
    def codes(self) -> list[bytes]:
        """Of each unit of an item what tells it from the others."""
        return self._units.codes

    @property
    def identities(self) -> list[bytes]:
        """Of each key and epoch, packed one behind the other: in their order, items are in that of keys and epochs."""
        return self._identities.codes

    @property
    def nbytes(self) -> int:
        """Of what was read of them; they themselves are the contexts'."""
        columns = self._unit.nbytes + self._truth.nbytes + self._identity.nbytes + self._having.nbytes
        return columns + sum(one.nbytes for one in (self._units, self._truth_numbers, self._identities))

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
        new = self._contexts.items.packed[len(self._identity) :]
        if new:
            self._identity.extend(self._identify(new))
        return self._identity.values

    def groups(self, numbers: Array) -> list[Any]:
        """The group of each item, by number; None where it has none."""
        items = self._contexts.items
        says = {number: b"group" in items.packed[number] for number in counted(numbers)[0].tolist()}
        found = {number: items.mapping(number).get("group") if said else None for number, said in says.items()}
        return list(map(found.__getitem__, numbers.tolist()))

    def number_of_identity(self, code: bytes, others: dict[bytes, int]) -> int:
        """The number of a key and epoch; of one that no item has, a number among `others`, above all of them."""
        number = self._identities.get(code)
        return len(self.identities) + others.setdefault(code, len(others)) if number is None else number

    def with_identity(self, number: int) -> dict[str, Any]:
        """An item that has the key and epoch with a number."""
        if len(self._having) < len(self.identities):
            identity = self.identity()
            keyed = np.flatnonzero(identity != NONE)
            self._having = np.zeros(len(self.identities), np.int64)
            self._having[identity[keyed]] = keyed
        return self._contexts.items.mapping(int(self._having[number]))

    def key_and_epoch(self, number: int) -> tuple[Any, Any]:
        """The key and the epoch with a number."""
        code = self.identities[number]
        begin, end = text_at(code, 0)
        if end and code[end:] == _NO_EPOCH:
            return code[begin:end].decode("utf-8", "surrogatepass"), None
        item = self.with_identity(number)
        return item["key"], item.get("epoch")

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
            item = unpack_mapping(packed)
            return any(folded in str(item.get(name, "")).casefold() for name in ("key", "truth"))
        kind, begin = (packed[0], packed[end:]), text_at(packed, _BEFORE_KEY)[0]
        if kind not in truths:
            truths[kind] = folded in str(unpack_mapping(packed).get("truth", "")).casefold()
        return truths[kind] or folded in packed[begin:end].decode().casefold()

    def _identify(self, packed: Sequence[bytes]) -> Array:
        found, plain = np.full(len(packed), NONE, np.int32), _Plain(packed)
        epochs, numbers = [canonical(item.get("epoch")) for item in plain.says], dict[bytes, int]()
        of_kind = np.array([numbers.setdefault(epoch, len(numbers)) for epoch in epochs], np.int64)
        keys, kinds, which = plain.keys(np.ones(len(epochs), bool), of_kind)
        codes = list(map(bytes.__add__, keys, map(epochs.__getitem__, kinds.tolist())))
        found[plain.place] = self._identities.numbers(codes)[which]
        others = dict[int, bytes]()
        for place in plain.others:
            item = unpack_mapping(packed[place])
            if "key" in item:
                others[place] = canonical(item["key"]) + canonical(item.get("epoch"))
        found[list(others)] = self._identities.of_each(list(others.values()))
        return found

    def _catch_up(self) -> None:
        packed = self._contexts.items.packed[len(self._unit) :]
        if not packed:
            return
        units, truths = np.full(len(packed), NONE, np.int32), np.full(len(packed), NONE, np.int32)
        plain = _Plain(packed)
        truths[plain.place] = np.array([self._truth_of(item) for item in plain.says], np.int32)[plain.kind]
        in_group = np.array([item.get("group") is not None for item in plain.says], bool)
        of_group = np.full(len(in_group), NONE)
        of_group[in_group] = self._units.of_each(
            [_code_of_unit(item) for item in plain.says if item.get("group") is not None]
        )
        units[plain.place] = of_group[plain.kind]
        keys, _, which = plain.keys(~in_group, np.zeros(len(in_group), np.int64))
        alone = plain.place[~in_group[plain.kind]]
        units[alone] = self._units.numbers(list(map(_PACKED_KEY.__add__, keys)))[which]
        others = dict[int, bytes]()
        for place in plain.others:
            item = unpack_mapping(packed[place])
            truths[place] = self._truth_of(item)
            if "key" in item:
                others[place] = _code_of_unit(item)
        units[list(others)] = self._units.of_each(list(others.values()))
        self._unit.extend(units)
        self._truth.extend(truths)

    def _truth_of(self, item: Mapping[str, Any]) -> int:
        return self.number_of_truth(item.get("truth"))

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
_NO_EPOCH = canonical(None)
_BEFORE_KEY = 5
"""Bytes of a plain item before its key: the map's header, and "key" itself."""
