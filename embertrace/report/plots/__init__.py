"""Pictures of numbers, as SVG text of our own: small functions from plain data, no font, no program beside them.

    canvas      elements, numbers, scales: what all pictures share
    intervals   named values with their intervals: accuracy by agreement, what members are worth
    curve       values over a number, with a fitted line: accuracy by size
    matrix      pairs of names: who agrees with whom
    ranges      spans of time on a logarithmic scale: latency
    waterfall   the calls of one trace over its time

Rules: the same data gives the same text; every name is escaped and cut; colours are classes, so that the page they
stand in decides them, for light and for dark. A picture of nothing is "".
"""

from __future__ import annotations

from embertrace.report.plots.canvas import Point
from embertrace.report.plots.curve import curve
from embertrace.report.plots.intervals import intervals
from embertrace.report.plots.matrix import matrix
from embertrace.report.plots.ranges import Range, ranges
from embertrace.report.plots.waterfall import Span, waterfall

__all__ = ["Point", "Range", "Span", "curve", "intervals", "matrix", "ranges", "waterfall"]
