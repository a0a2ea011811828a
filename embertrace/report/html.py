"""A report as one HTML file that needs nothing else: no script, no address, style and pictures inside.

Rules of this file: every text passes `tell`, which makes it printable, cuts and escapes it; the only markup that
is taken over are pictures, which this library made. The page forbids itself all scripts and all loading. It is
well-formed XML.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embertrace.analysis import Estimate
from embertrace.markup import escape, shortened
from embertrace.report import words
from embertrace.report.model import Block, Grid, Lines, Numbers, Picture, Report, Section
from embertrace.report.style import sheet

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_TILES = 8
MOST_BESIDE, MOST_COLUMNS_BESIDE = 6, 8
MAX_LINE = 2000


def as_html(report: Report, *, kind: str = "Report") -> str:
    """The report as a complete HTML document; for UTF-8. `kind` stands above its title."""
    title = f"{kind} · {report.title}"
    body = [*_header(report, kind), *itertools.chain.from_iterable(map(_section, report.sections))]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8"/>',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}"/>',
            '<meta name="referrer" content="no-referrer"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{tell(title)}</title>",
            f"<style>{sheet()}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "<footer>Intervals are 95%. Made by embertrace.</footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def tell(text: object, most: int = MAX_LINE) -> str:
    """Any text as content or as a quoted attribute."""
    return escape(shortened(str(text), most))


def _header(report: Report, kind: str) -> Iterator[str]:
    yield "<header>"
    yield f'<p class="eyebrow">embertrace · {tell(kind.lower())}</p>'
    yield f"<h1>{tell(report.title, 120)}</h1>"
    if report.about:
        yield f'<p class="meta">{tell(report.about)}</p>'
    yield from (f'<p class="warning">{tell(note)}</p>' for note in report.notes)
    tiles = [tile for section in report.sections for tile in section.headline.items()][:MOST_TILES]
    if tiles:
        yield '<dl class="tiles">'
        for name, value in tiles:
            parts = (words.interval(*value.interval), words.sample(value))
            small = " ".join(f"<span>{tell(part)}</span>" for part in parts if part)
            yield f'<div class="tile"><dt>{tell(name)}</dt>'
            yield f"<dd>{words.share(value)} <small>{small}</small></dd></div>"
        yield "</dl>"
    yield "</header>"


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{tell(section.title, 160)}</h2>"
    if section.about:
        yield f'<p class="about">{tell(section.about)}</p>'
    drawn = any(isinstance(block, Picture) for block in section.blocks)
    yield '<div class="content">'
    for block in section.blocks:
        yield from _folded(block) if drawn and _is_large(block) else _block(block)
    yield "</div></section>"


def _is_large(block: Block) -> bool:
    """Whether a table is better folded beside a picture that shows it."""
    return isinstance(block, Grid) and (len(block.rows) > MOST_BESIDE or len(block.names) > MOST_COLUMNS_BESIDE)


def _folded(block: Any) -> Iterator[str]:
    """The numbers behind a picture: there for those who ask."""
    yield f"<details><summary>The numbers: {len(block.rows)} rows</summary>"
    yield from _block(block)
    yield "</details>"


def _picture(block: Picture) -> str:
    if not block.svg:
        return ""
    wide = "" if 'class="plot' in block.svg and "wide" not in block.svg[:40] else ' class="wide"'
    caption = f"<figcaption>{tell(block.caption)}</figcaption>" if block.caption else ""
    # In a page, svg needs no namespace: without it, nothing in the file looks like an address.
    svg = block.svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
    return f"<figure{wide}>{svg}{caption}</figure>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Picture):
        yield _picture(block)
    elif isinstance(block, Numbers):
        yield f'<div class="block">{"".join(_numbers(block))}</div>'
    elif isinstance(block, Grid):
        yield f'<div class="block">{"".join(_grid(block))}</div>'
    elif isinstance(block, Lines):
        yield from (f'<p class="line">{tell(line)}</p>' for line in block.lines)


def _numbers(block: Numbers) -> Iterator[str]:
    if block.title:
        yield f"<h3>{tell(block.title)}</h3>"
    rows = [[_name(name), *_value(name, value, block.bars)] for name, value in block.rows.items()]
    yield _table((), rows)
    for value in block.rows.values():
        yield from (_remark(note) for note in getattr(value, "notes", ()) if not note.startswith("based on"))


def _name(name: str) -> str:
    return f'<th scope="row">{tell(name, words.MAX_CELL)}</th>' if name else ""


def _value(name: str, value: Any, bars: bool) -> Iterator[str]:
    if not isinstance(value, Estimate):
        yield f'<td class="number">{tell(words.cell(name, value))}</td>'
        return
    if bars:
        part = 0.0 if math.isnan(value) else max(0.0, min(1.0, float(value)))
        yield f'<td class="bar"><i style="width: {100 * part:.1f}%"></i></td>'
    yield f'<td class="number">{words.share(value)}</td>'
    remarks = [words.attempted(value), words.left_out(value.left_out)]
    for told in (words.interval(*value.interval), words.sample(value), "; ".join(filter(None, remarks))):
        yield f'<td class="faint">{tell(told)}</td>'


def _grid(block: Grid) -> Iterator[str]:
    if block.title:
        yield f"<h3>{tell(block.title)}</h3>"
    columns, rows = block.names, block.rows[: block.most]
    numeric = {name for name in columns if any(_is_number(row.get(name)) for row in rows)}
    head = [
        f'<th class="{"number" if name in numeric else "text"}">{tell(words.heading(name))}</th>' for name in columns
    ]
    yield _table(head, [[_cell(name, row, columns[0], name in numeric) for name in columns] for row in rows])
    if len(block.rows) > block.most:
        yield _remark(f"… and {len(block.rows) - block.most} more")
    if block.rows.left_out:
        yield _remark(words.left_out(block.rows.left_out))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(name: str, row: Mapping[str, Any], first: str, numeric: bool) -> str:
    kinds = ["number" if numeric else "text"]
    if name in ("error", "errors", "lost") and row.get(name):
        kinds.append("bad")
    indent = ""
    if name == first and "depth" in row:
        kinds.append("branch")
        indent = f' style="--depth: {min(int(row["depth"]), 20)}"'
    return f'<td class="{" ".join(kinds)}"{indent}>{tell(words.cell(name, row.get(name)))}</td>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = f"<thead><tr>{''.join(head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _remark(text: str) -> str:
    return f'<p class="remarks">{tell(text)}</p>'
