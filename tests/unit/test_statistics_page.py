"""docs/statistics.md has a row for every question there is, with its options; and none for what there is not."""

from __future__ import annotations

import inspect
import pathlib
import re

import pytest

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.groups import questions_of
from embertrace.analysis.verbs import VERBS

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]
NAMED = {
    name: [option.split("=")[0].strip() for option in options.split(",") if option]
    for row in ROWS
    for name, options in re.findall(r"`(\w+)\((.*?)\)`", row)
}
"""Questions with a row, and the options it names."""

EVERYWHERE = {"answer", "grade", "ties", "over", "options"}
"""Options that the page's rules explain, or the question's docstring."""


def test_every_question_has_a_row_and_every_row_a_question() -> None:
    assert set(NAMED) == questions_of(OperatorAnalysis)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_row_names_the_options(name: str) -> None:
    parameters = [*inspect.signature(getattr(OperatorAnalysis, name)).parameters][1:]
    assert set(NAMED[name]) <= set(parameters)
    assert set(parameters) - set(NAMED[name]) <= EVERYWHERE


def test_every_verb_is_a_question_or_is_said_to_stand_for_one() -> None:
    said = PAGE[PAGE.index("with three exceptions") :]
    for verb in VERBS:
        assert verb in NAMED or f"`{verb}`" in said, verb
