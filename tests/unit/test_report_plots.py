"""Pictures of numbers: well-formed, safe for any name, in the right places, and the same twice."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace.analysis.mixture import Mixture, fit_mixture, majority_of
from embertrace.report.plots import Point, Range, Span, curve, intervals, matrix, ranges, waterfall
from embertrace.report.plots.canvas import domain, ticks
from support.hostile import HOSTILE, LONG

NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=32)
LABEL = st.text(max_size=40)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def of_class(svg: str, kind: str) -> list[ElementTree.Element]:
    return [element for element in parsed(svg).iter() if kind in element.get("class", "").split()]


def test_an_interval_picture_has_a_row_for_each_value() -> None:
    points = [Point("3/3", 0.97, 0.95, 0.99, 900), Point("2/3", 0.8, 0.7, 0.9, 80), Point("1/3", math.nan)]
    svg = intervals(points, full=True, reference=0.9)
    dots = [float(dot.get("cx", "")) for dot in of_class(svg, "dot")]
    assert len(dots) == len(of_class(svg, "whisker")) == 2 and dots[0] > dots[1]
    assert len(of_class(svg, "reference")) == 1
    assert "n 900" in svg and "n 80" in svg
    assert svg == intervals(points, full=True, reference=0.9)


def test_a_dot_lies_within_its_whisker() -> None:
    svg = intervals([Point("a", 0.5, 0.25, 0.75), Point("b", 0.1, 0.0, 0.2)])
    for dot, whisker in zip(of_class(svg, "dot"), of_class(svg, "whisker"), strict=True):
        assert float(whisker.get("x1", "")) < float(dot.get("cx", "")) < float(whisker.get("x2", ""))


def test_a_curve_has_its_line_over_its_points() -> None:
    model = Mixture(0.6, 0.85, 0.4)
    svg = curve([Point("", model.accuracy(k), x=k) for k in (1, 3, 5)], [(k, model.accuracy(k)) for k in (1, 3, 5, 9)])
    assert len(of_class(svg, "dot")) == 3
    (line,) = of_class(svg, "fitted")
    first = [float(part) for part in line.get("d", "")[1:].split("L")[0].split()]
    dot = of_class(svg, "dot")[0]
    assert first == [float(dot.get("cx", "")), float(dot.get("cy", ""))]


def test_a_matrix_shows_each_pair_once_the_larger_the_darker() -> None:
    cells = {("a", "b"): Point("", 0.9), ("c", "a"): Point("", 0.5), ("b", "c"): Point("", 0.7)}
    svg = matrix(["a", "b", "c"], cells)
    shades = {cell.get("fill-opacity") for cell in of_class(svg, "cell")}
    assert len(of_class(svg, "cell")) == len(shades) == 3
    assert ".90" in svg and ".50" in svg


def test_a_waterfall_keeps_time() -> None:
    spans = [Span("root", 0, 10.0, 4.0), Span("late", 1, 12.0, 1.0, "error"), Span("open", 1, 13.0, None, "open")]
    bars = of_class(waterfall(spans), "span")
    starts, widths = ([float(bar.get(name, "")) for bar in bars] for name in ("x", "width"))
    assert starts[0] < starts[1] < starts[2]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
    assert starts[2] + widths[2] == pytest.approx(starts[0] + widths[0], abs=0.2)
    assert "error" in bars[1].get("class", "")


def test_latency_is_logarithmic() -> None:
    svg = ranges([Range("fast", 1e-6, 1e-5), Range("slow", 1e-3, 1e-2, 1e-1, 5)])
    fast, slow = (float(bar.get("width", "")) for bar in of_class(svg, "bar"))
    assert fast == pytest.approx(slow, abs=0.2)


def test_nothing_is_no_picture() -> None:
    assert intervals([]) == curve([]) == matrix([], {}) == matrix(["a"], {}) == ranges([]) == waterfall([]) == ""
    assert intervals([Point("a", math.nan)]) == ""


@pytest.mark.parametrize("text", [*HOSTILE, LONG])
def test_hostile_names_stay_text(text: str) -> None:
    pictures = (
        intervals([Point(text, 0.5, 0.4, 0.6)], described=text),
        curve([Point(text, 0.5, x=1)], across=text),
        matrix([text, "b", "c"], {(text, "b"): Point(text, 0.5)}, described=text),
        ranges([Range(text, 0.1, 0.2)]),
        waterfall([Span(text, 3, 0.0, 1.0, text, text)]),
    )
    for svg in pictures:
        assert {element.tag for element in parsed(svg).iter()} <= {
            "svg", "g", "title", "text", "line", "rect", "circle", "path"
        }  # fmt: skip
        assert len(svg) < 20_000


@given(st.lists(st.tuples(LABEL, NUMBER, NUMBER, NUMBER, st.integers(0, 10**9), NUMBER), max_size=8))
def test_any_numbers_make_a_picture_or_none(rows: list[tuple[str, float, float, float, int, float]]) -> None:
    points = [Point(*row) for row in rows]
    for svg in (intervals(points), intervals(points, within=None), curve(points), curve(points, within=None)):
        if svg:
            assert "nan" not in " ".join(value for element in parsed(svg).iter() for value in element.attrib.values())


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_within(low: float, span: float) -> None:
    span = max(span, abs(low) * 1e-6)
    marks = ticks(low, low + span)
    assert len(marks) <= 7
    assert all(low - span * 1e-3 <= mark <= low + span * 1.001 for mark in marks)


def test_a_domain_is_round_and_holds_its_values() -> None:
    low, high = domain([Point("", 0.83, 0.8198, 0.8462), Point("", 0.9074, 0.8937, 0.9211)], (0, 1))
    assert (round(low, 6), round(high, 6)) == (0.8, 0.95)


SIZES = (1, 3, 5, 9, 15, 25, 51, 101)
PUBLISHED = (0.670, 0.7043, 0.711, 0.7032, 0.6849, 0.6615, 0.6294, 0.6084)


def test_the_mixture_falls_as_members_are_added() -> None:
    model = Mixture(0.6, 0.85, 0.4)
    assert [round(model.accuracy(size), 4) for size in SIZES] == list(PUBLISHED)


def test_independent_members_are_condorcets() -> None:
    assert [round(majority_of(n, 0.7), 5) for n in (3, 5, 7)] == [0.784, 0.83692, 0.87396]
    assert majority_of(2, 0.7) == pytest.approx(0.7)


def test_the_fit_finds_the_mixture_again() -> None:
    model = fit_mixture(dict(zip(SIZES, PUBLISHED, strict=True)))
    assert model is not None
    assert (model.easy, model.p_easy, model.p_hard) == pytest.approx((0.6, 0.85, 0.4), abs=0.011)
    assert fit_mixture({1: 0.5, 2: 0.5, 3: 0.6}) is None


@given(st.dictionaries(st.integers(1, 12), st.floats(0, 1), min_size=4, max_size=6))
def test_a_fit_is_a_mixture(accuracies: dict[int, float]) -> None:
    model = fit_mixture(accuracies)
    assert model is not None
    assert 0 <= model.easy <= 1 and 0 <= model.p_hard <= model.p_easy <= 1
