"""Runs rows of the reliability table and prints what they showed; with --full it writes docs/reliability.md's table.

python3 dev.py faults [--full] [ROW…]

Exit code 1 if a figure is not accepted. In full, all rows take about an hour; in short, some minutes.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import re
import sys
from collections.abc import Sequence

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from fault.rows import ROOT, ROWS, Finding, Row

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: python3 dev.py faults --full -->", "<!-- end of figures -->"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py faults", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)}; default all")
    parser.add_argument("--full", action="store_true", help="at full length, into docs/reliability.md")
    options = parser.parse_args(arguments)
    unknown = set(options.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    accepted = True
    for row in ROWS:
        if options.rows and row.name not in options.rows:
            continue
        print(f"{row.name}  {row.injection}", flush=True)
        findings = []
        for finding in row.run(options.full):
            print(f"     {sign(finding)}  {finding.figure}", flush=True)
            findings.append(finding)
        accepted = accepted and all(finding.accepted is not False for finding in findings)
        if options.full:
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            PAGE.write_text(with_row(PAGE.read_text(encoding="utf-8"), row, findings, today), encoding="utf-8")
    return 0 if accepted else 1


def sign(finding: Finding) -> str:
    return {True: "met   ", False: "MISSED", None: "      "}[finding.accepted]


def with_row(page: str, row: Row, findings: Sequence[Finding], today: str) -> str:
    """The page with this row's section in place of its old one, all in the order of ROWS."""
    head, old, tail = re.split(f"({re.escape(BEGIN)}.*?{re.escape(END)})", page, maxsplit=1, flags=re.DOTALL)
    sections = sections_of(old)
    sections[row.name] = section(row, findings, today)
    body = "\n".join(sections[each.name] for each in ROWS if each.name in sections)
    return f"{head}{BEGIN}\n\n{body}\n{END}{tail}"


def sections_of(figures: str) -> dict[str, str]:
    """The sections there are, by the names of their rows."""
    found = re.findall(r"^(### (R\d+) .*?)(?=^### |^<!-- end)", figures, re.DOTALL | re.MULTILINE)
    return {name: text.rstrip() + "\n" for text, name in found}


def section(row: Row, findings: Sequence[Finding], today: str) -> str:
    """What one row showed, as Markdown."""
    lines = [f"### {row.name} {row.injection}", "", f"Accepted: {row.accept}.", ""]
    lines += [f"- {sign(finding).strip() or 'beside it'}: {finding.figure}" for finding in findings]
    return "\n".join([*lines, "", f"`python3 dev.py faults --full {row.name}`, {today}", ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
