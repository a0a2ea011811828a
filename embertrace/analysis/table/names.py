"""Names of operators as numbers: an operator id, a type and a stage are one number together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embertrace.analysis.table.column import Array
from embertrace.wire.columns import unpack_names

Triple = tuple[str, str, str]
"""Operator id, operator type, stage."""


class Names:
    """Numbers 0, 1, 2, … for names; `triples` leads back."""

    def __init__(self) -> None:
        self.triples: list[Triple] = []
        self._numbers: dict[Triple, int] = {}
        self._packed: dict[bytes, int] = {}

    def number(self, triple: Triple) -> int:
        """The number of these names, new or known."""
        number = self._numbers.get(triple)
        if number is None:
            number = self._numbers[triple] = len(self.triples)
            self.triples.append(triple)
        return number

    def of_packed(self, packed: bytes) -> int:
        """The number of names as they stand in an event. Raises ValueError where they are no text."""
        number = self._packed.get(packed)
        if number is None:
            number = self._packed[packed] = self.number(unpack_names(packed))
        return number

    def which(self, holds: Callable[[Triple], bool]) -> Array:
        """Of each number whether something holds for its names."""
        return np.fromiter(map(holds, self.triples), bool, len(self.triples))
