"""What somebody typed on a command line: the text, and the number that it is, if it is plainly one."""

from __future__ import annotations

from typing import Any

import pytest

from embertrace.cli.shell import as_values


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("-3", -3), ("007", 7), ("0.5", 0.5), ("-2.0", -2.0), ("1e3", 1000.0), ("1.5E-2", 0.015)]
    + [("1" * 30, int("1" * 30))],
)
def test_a_number_is_looked_up_as_text_and_as_a_number(text: str, number: Any) -> None:
    found = list(as_values(text))
    assert found == [text, number] and type(found[1]) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "q3",
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "1_000",
        " 5 ",
        "5\n",
        "+5",
        ".5",
        "5.",
        "1e",
        "0x10",
        "٣",
        "３",
        "1e999",
    ]
    + ["9" * 5000, "-" + "9" * 400 + ".0"],
    ids=lambda text: ascii(text[:12]),
)
def test_everything_else_is_text_alone(text: str) -> None:
    assert list(as_values(text)) == [text]
