"""What somebody typed on a command line: the text, and the number that it is, if it is plainly one."""

from __future__ import annotations

import pytest

from embertrace.cli.shell import as_values

LONG = "1" * 30
NUMBERS = {"3": 3, "-3": -3, "007": 7, "0.5": 0.5, "-2.0": -2.0, "1e3": 1000.0, "1.5E-2": 0.015, LONG: int(LONG)}
NAMES = ("", "q3", "nan", "inf", "-inf", "Infinity")
STRANGE = ("1_000", " 5 ", "5\n", "+5", ".5", "5.", "1e", "0x10", "\u0663", "\uff13")
BEYOND = ("1e999", "9" * 5000, "-" + "9" * 400 + ".0")


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_looked_up_as_text_and_as_a_number(text: str) -> None:
    found = list(as_values(text))
    assert found == [text, NUMBERS[text]] and type(found[1]) is type(NUMBERS[text])


@pytest.mark.parametrize("text", [*NAMES, *STRANGE, *BEYOND], ids=lambda text: ascii(text[:12]))
def test_everything_else_is_text_alone(text: str) -> None:
    assert list(as_values(text)) == [text]
