"""docs/interop.md says what the code does: the mapping, the schemas, the tools and their tests."""

from __future__ import annotations

import re

from embertrace.interop.otlp_mapping import MAPPING_VERSION
from embertrace.interop.tables import SCHEMA_VERSION
from support.interop_page import PAGE, ROOT, page


def test_the_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "write them anew: python tests/support/interop_page.py"


def test_the_versions_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"mapping version is {MAPPING_VERSION}" in text
    assert f"schema version is {SCHEMA_VERSION}" in text


def test_every_test_that_is_named_is_there() -> None:
    names = set(re.findall(r"tests/[\w/]+\.py", PAGE.read_text(encoding="utf-8")))
    assert len(names) >= 5 and all((ROOT / name).exists() for name in names)
