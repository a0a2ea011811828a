"""Where each item of a row stands, so that edges run straight and nothing overlaps.

Rules of this file: pure; the order of rows is given and kept. Each item would like to stand at the mean of what it
is joined to. For one row, the places nearest to those wishes that keep the distances are found exactly, by
isotonic regression. Done from the first row and from the last, and averaged: distances survive averaging.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ROUNDS = 4
BEND_WEIGHT = 4.0
"""How much more a bend insists on its place than a node: a straight long edge is worth a node off its centre."""

Gap = Callable[[int, int], float]


def isotonic(wishes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing numbers nearest to `wishes` by weighted squares. Empty input gives an empty list."""
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, length
    for wish, weight in zip(wishes, weights, strict=True):
        total, mass, length = wish * weight, weight, 1
        while blocks and blocks[-1][0] * mass >= total * blocks[-1][1]:
            before = blocks.pop()
            total, mass, length = total + before[0], mass + before[1], length + before[2]
        blocks.append((total, mass, length))
    return [total / mass for total, mass, length in blocks for _ in range(length)]


def spread(row: Sequence[int], wishes: Sequence[float], weights: Sequence[float], gap: Gap) -> list[float]:
    """Centres for one row, in its order, at least `gap` apart from neighbour to neighbour, nearest to `wishes`."""
    offsets, offset = [], 0.0
    for index, item in enumerate(row):
        offset += gap(row[index - 1], item) if index else 0.0
        offsets.append(offset)
    free = isotonic([wish - least for wish, least in zip(wishes, offsets, strict=True)], weights)
    return [place + least for place, least in zip(free, offsets, strict=True)]


def place_rows(
    rows: Sequence[Sequence[int]],
    before: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
    gap: Gap,
    bends_from: int,
) -> list[float]:
    """The centre of each item along its row. `gap(a, b)` is the least distance of the centres of neighbours."""
    centres = [0.0] * len(before)

    def settle(row: Sequence[int], *joined: Sequence[Sequence[int]]) -> None:
        wishes, weights = [], []
        for item in row:
            others = [other for side in joined for other in side[item]]
            wishes.append(sum(centres[other] for other in others) / len(others) if others else centres[item])
            weights.append((BEND_WEIGHT if item >= bends_from else 1.0) if others else 0.1)
        for item, centre in zip(row, spread(row, wishes, weights, gap), strict=True):
            centres[item] = centre

    for row in rows:
        settle(row)
    down = up = list(centres)
    for _ in range(ROUNDS):
        for row in rows[1:]:
            settle(row, before)
        down = list(centres)
        for row in reversed(rows[:-1]):
            settle(row, after)
        up = list(centres)
    centres[:] = [(first + second) / 2 for first, second in zip(down, up, strict=True)]
    for row in (*rows, *reversed(rows)):
        settle(row, before, after)
    return centres
