"""`embertrace …`: what people type. Each command asks the library and prints; nothing is computed here.

    shell         what all commands share
    serving       aggregate, keys, drain, doctor
    asking        report, compare, show, flow
    watching      top
    labelling     label
    recordings    replay, check, pack
    exporting     export otlp, export chrome, export parquet
    about         demo, version

Rules: results on stdout, everything else on stderr; `--json` prints one JSON document; colours and progress bars only
on a terminal. Exit codes: 0 done, 1 the answer is bad news (a damaged recording), 2 it could not be done.
"""

from __future__ import annotations

import sys

from embertrace.errors import EmbertraceError, MissingExtraError

try:
    import rich  # noqa: F401  # typer alone would do without it
    import typer  # noqa: F401
except ImportError:
    raise SystemExit(f"embertrace: {MissingExtraError('the command line', 'cli')}") from None

# Each registers its commands; help lists them in this order.
from embertrace.cli import serving, asking, watching, labelling, recordings, exporting, about  # noqa: F401, I001
from embertrace.cli.shell import app


def main() -> None:
    """The console script: every embertrace error is one line on stderr and exit code 2."""
    try:
        app()
    except EmbertraceError as error:
        print(f"embertrace: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
