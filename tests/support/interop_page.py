"""The tables of docs/interop.md that follow from the code. `python tests/support/interop_page.py` writes them anew."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Iterable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "interop.md"


def table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def tables() -> Iterator[tuple[str, str]]:
    """Each table by its name in the page."""
    from embertrace.interop import otlp_mapping as mapping
    from embertrace.interop import tables as schema

    code = "`{}`".format
    yield "attributes", table(("attribute", "holds"), ((code(row.name), row.holds) for row in mapping.ATTRIBUTES))
    kinds = [(f"type `{name}`", kind) for name, kind in mapping.KINDS.items()]
    kinds += [
        ("what `llm_call` recorded", "LLM"),
        ("a member of an ensemble that calls nothing traced", mapping.MEMBER_KIND),
        ("a member that does", mapping.MEMBER_WITH_CALLS_KIND),
        ("everything else", mapping.OTHER_KIND),
    ]
    yield "kinds", table(("call", "`openinference.span.kind`"), kinds)
    yield "resource", table(("attribute", "holds"), ((code(name), holds) for name, holds, _ in mapping.RESOURCE))
    yield "span events", table(("event", "holds"), ((code(name), holds) for name, holds in mapping.EVENTS.items()))
    yield "links", table(("`embertrace.link`", "leads to"), ((code(name), to) for name, to in mapping.LINKS.items()))
    for name, columns in schema.TABLES.items():
        yield name, table(("column", "type", "holds"), ((code(one.name), one.type, one.holds) for one in columns))


def page(text: str) -> str:
    """The page with its tables as they should be. Raises ValueError where a place for one is missing."""
    for name, made in tables():
        pattern = re.compile(f"<!-- table: {name} -->\n.*?<!-- end -->", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{PAGE} has no place for the table {name!r}")
        text = pattern.sub(lambda _, name=name, made=made: f"<!-- table: {name} -->\n{made}\n<!-- end -->", text)
    return text


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
