"""The tails of a table's rows: the bytes that were taken in, looked at in pieces that are never long."""

from __future__ import annotations

import numpy as np
import pytest

from embertrace.analysis.table.tails import Tails
from embertrace.wire.spans import PADDING


@pytest.mark.parametrize("most", [1, 40, 1 << 20])
@pytest.mark.parametrize("chosen", [range(90), range(89, -1, -7), [3, 3, 50, 3], []])
def test_tails_are_looked_at_in_short_pieces(monkeypatch: pytest.MonkeyPatch, most: int, chosen: list[int]) -> None:
    monkeypatch.setattr("embertrace.analysis.table.tails.MOST_BYTES", most)
    given = [bytes([row]) * (3 + row % 10) for row in range(90)]
    tails, rows = Tails(), np.array(chosen, np.int64)
    for part in (given[:80], [], given[80:]):
        tails.append(np.array([*map(len, part)], np.int64), b"".join(part))
    found = {}
    for places, buffer, starts, lengths in tails.packed(rows):
        assert lengths[1:].sum() <= most and buffer.endswith(bytes(PADDING))
        found |= {
            place: buffer[start : start + length]
            for place, start, length in zip(places.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        }
    assert [found[place] for place in range(len(rows))] == [given[row] for row in chosen]
    assert list(tails.of_rows(rows)) == [given[row] for row in chosen]
