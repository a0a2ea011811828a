"""What was seen how often, by unit: sums, and merging however the events were divided."""

from __future__ import annotations

import numpy as np

from embertrace.analysis.arrays.sums import Alike
from embertrace.analysis.gathered import Gathered, distinct_units, each_its_own, sums_by_unit
from embertrace.analysis.table.items import Unit


class Named:
    """Units with names of one part's own numbering."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def unit(self, code: int) -> Unit:
        return "item", self._names[code].encode()


def seen(units: Named, *codes: int) -> Alike:
    return Alike(units, np.array(codes))


def test_observations_of_a_unit_are_added_up() -> None:
    units = Named("a", "b")
    rows = [(seen(units, 0, 0), [1, 2]), (seen(units, 1), [1, 5]), (seen(units, 0), [1, 3])]
    assert [[*row] for row in sums_by_unit(rows).rows] == [[3, 7], [1, 5]]
    assert [*sums_by_unit(rows).times] == [1, 1]
    alone = [(seen(units, 1), [1, 5]), (seen(units, 0), [1, 3])]
    assert [[*row] for row in sums_by_unit(alone).rows] == [[1, 5], [1, 3]]
    assert distinct_units([alike for alike, _ in rows]) == 2
    assert not len(sums_by_unit([]).rows)
    assert distinct_units([]) == 0


def test_parts_that_number_their_units_differently_merge() -> None:
    one: Gathered[str] = Gathered(str)
    one.add("kind", seen(Named("a", "b"), 0, 1))
    other: Gathered[str] = Gathered(str)
    other.add("kind", seen(Named("b", "c"), 0, 1))
    other.add("another", seen(Named("b", "c"), 1))
    other.left_out["incomplete"] += 2
    merged = one.merge(other)
    found = {kind: [alike.units.unit(code)[1] for code in alike.codes.tolist()] for kind, alike in merged}
    assert {kind: sorted(units) for kind, units in found.items()} == {
        "another": [b"c"],
        "kind": [b"a", b"b", b"b", b"c"],
    }
    assert (merged.total, merged.left_out["incomplete"], list(found)) == (5, 2, ["another", "kind"])


def test_things_that_are_units_themselves() -> None:
    assert distinct_units(each_its_own(3)) == 3
