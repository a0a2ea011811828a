"""Sends spans to servers that others wrote, reads them back by the servers' own interfaces, and compares the trees.

python3 dev.py interop [--write] [NAME…]

Installs Arize Phoenix and mlflow from PyPI into environments under build/ (a gigabyte, minutes the first time). With
--write the outcome goes into docs/interop.md. Exit code 1 if anything differs; what can't be installed is said.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import re
import sys
import tempfile
from collections.abc import Sequence

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from interop import mlflow_server, phoenix_server  # noqa: E402  (found through the path above)
from interop.servers import NotToBeHad  # noqa: E402

SERVERS = {"phoenix": phoenix_server, "mlflow": mlflow_server}
PAGE = TESTS.parent / "docs" / "interop.md"
BEGIN, END = "<!-- servers: python3 dev.py interop --write -->", "<!-- end of servers -->"

HEAD = ("| server | version | date | result |", "| --- | --- | --- | --- |")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py interop", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SERVERS)}; default all")
    parser.add_argument("--write", action="store_true", help="write the outcome into docs/interop.md")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(SERVERS)
    if unknown:
        parser.error(f"there is no server {', '.join(sorted(unknown))}")
    lines, all_well = [], True
    for name in options.names or SERVERS:
        line, well = outcome(name)
        print(line, flush=True)
        lines.append(line)
        all_well &= well
    if options.write and not options.names:
        page = PAGE.read_text()
        pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
        PAGE.write_text(re.sub(pattern, lambda _: "\n".join([BEGIN, *HEAD, *lines, END]), page, flags=re.DOTALL))
    return 0 if all_well else 1


def outcome(name: str) -> tuple[str, bool]:
    """A row of the table, and whether it is as it should be."""
    server, today = SERVERS[name], datetime.date.today().isoformat()
    with tempfile.TemporaryDirectory(prefix=f"interop-{name}-") as directory:
        try:
            version, found, what = server.run(pathlib.Path(directory))
        except NotToBeHad as error:
            return f"| {server.PACKAGE} | – | {today} | could not be installed: {error} |", True
    result = f"same after the round trip: {what}" if not found else "; ".join(found).replace("|", "/")
    return f"| {server.PACKAGE} | {version} | {today} | {result} |", not found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
