#!/usr/bin/env python3
"""The workshop: everything one does to a clone of this repository, with nothing but Python 3.11 or newer.

    python3 dev.py demo [...]       run the demonstration; further arguments go to `embertrace demo`
    python3 dev.py test [...]       run the tests; further arguments go to pytest, default: the whole suite
                                    `test --matrix`: where context flows, as a table
    python3 dev.py lint             ruff check, ruff format --check, mypy
    python3 dev.py faults [...]     inject faults and report the figures: rows of docs/reliability.md, --full
    python3 dev.py bench [...]      run the benchmarks; further arguments go to them
    python3 dev.py screenshots      take the pictures in docs/pictures anew, from a new run of the demo; an argument
                                    names a recording of it instead. Needs Chromium
    python3 dev.py package [--demo] build both packages, install the wheel into an empty environment, and use it there
    python3 dev.py interop [...]    send spans to Arize Phoenix and mlflow, read them back, compare; installs both
    python3 dev.py build            wheel and source distribution, into dist/
    python3 dev.py constraints      write constraints.txt anew: the versions everybody gets

The first run makes `.venv` beside this file and installs the project with every extra, in the versions of
`constraints.txt`. Later runs use it again as long as its stamp fits: a hash of pyproject.toml, constraints.txt,
the Python version and the clone's place. The stamp is written last, so that an interrupted run begins again.

Rules of this file: the standard library only; it says on stderr what it does, and leaves stdout to what it runs;
the functions above `main`'s commands that decide something do no I/O.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "dev-stamp"
OLDEST_PYTHON = (3, 11)
COMMANDS = ("demo", "test", "lint", "faults", "bench", "screenshots", "package", "interop", "build", "constraints")

CHILD_ENVIRONMENT = {
    # Under `uv run`, Ray would give each worker an environment of its own, without what is installed here.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Nobody agreed to send anything anywhere by running a test.
    "RAY_USAGE_STATS_ENABLED": "0",
}

CONSTRAINTS_HEAD = "# The versions this project is developed and tested with. Made by: python3 dev.py constraints\n"

PIP_FAILED = (
    "pip could not install the project (exit code {code}); its reason stands above.\n"
    "  No network: set HTTPS_PROXY, or PIP_INDEX_URL to a mirror you can reach, and run the same command again.\n"
    "  No matching version: this Python may be newer than those pyproject.toml names; try: python3.12 dev.py …\n"
    "  To begin from nothing: remove {venv}"
)


class WorkshopError(Exception):
    """What stops a command; the message says what to do."""


# Decisions


def stamp(pyproject: bytes, constraints: bytes, python: tuple[int, int], root: str) -> str:
    """The text that tells one environment from another, in hex. Length-prefixed: no two inputs share one."""
    digest = hashlib.sha256()
    for part in (pyproject, constraints, f"{python[0]}.{python[1]}".encode(), os.fsencode(root)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def child_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """The environment of everything started here: the parent's, with Ray's two settings and no foreign venv."""
    environment = {name: value for name, value in parent.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    environment.update(CHILD_ENVIRONMENT)
    return environment


def missing_parts(present: Mapping[str, bool]) -> str | None:
    """The sentence for a Python that can't make virtual environments; None when it can."""
    missing = [name for name, there in present.items() if not there]
    if not missing:
        return None
    return (
        f"This Python has no {' and no '.join(missing)}, so it can't make a virtual environment. "
        "On Debian and Ubuntu the package python3-venv brings it: sudo apt-get install python3-venv"
    )


def clean_constraints(compiled: str) -> str:
    """The resolver's output without options, and with nothing in it that only one machine knows.

    Raises WorkshopError for a line that is no `name==version`, with or without a marker: a path or an address.
    """
    lines = []
    for raw in compiled.splitlines():
        line = raw.rstrip()
        if not line or line.startswith(("#", "-")):
            continue
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(\[[\w,.-]*\])?==[\w.!+-]+( ; [^/\\]+)?", line):
            raise WorkshopError(f"constraints.txt would hold {line!r}, which is no pinned version; left as it was")
        lines.append(line)
    if not lines:
        raise WorkshopError("the resolver named no version at all; constraints.txt left as it was")
    return CONSTRAINTS_HEAD + "\n".join(lines) + "\n"


def parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command, and what is passed on to it unread (options too)."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on")
    parsed = parser.parse_args(arguments)
    if parsed.arguments and parsed.command in ("lint", "build", "constraints"):
        parser.error(f"{parsed.command} takes no arguments, not {' '.join(parsed.arguments)}")
    return parsed.command, parsed.arguments


# The environment


def say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def in_venv(name: str) -> str:
    return str(VENV / "bin" / name)


def run(*command: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=child_environment(os.environ),
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )


def replace_process(*command: str, directory: Path = ROOT) -> None:
    """Become the command: signals, the terminal and the exit code are its own from here on."""
    if not Path(command[0]).exists():
        raise WorkshopError(f"{command[0]} is missing; remove {VENV} and run this again")
    sys.stderr.flush()
    os.chdir(directory)
    os.execve(command[0], command, child_environment(os.environ))


def pip(*arguments: str) -> int:
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    return run(
        in_venv("python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *quiet, *arguments
    ).returncode


def make_venv() -> None:
    sentence = missing_parts({name: importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip")})
    if sentence:
        raise WorkshopError(sentence)
    say(f"making {VENV} with Python {sys.version_info.major}.{sys.version_info.minor}")
    if run(sys.executable, "-m", "venv", "--clear", str(VENV)).returncode:
        raise WorkshopError(f"could not make {VENV}; the reason stands above")


def usable_venv() -> bool:
    """Whether .venv holds a Python of this version that runs and has pip."""
    if not os.access(in_venv("python"), os.X_OK):
        return False
    probe = "import pip, sys; print(sys.version_info[0], sys.version_info[1])"
    answer = run(in_venv("python"), "-c", probe, capture=True)
    return answer.stdout.split() == [str(number) for number in sys.version_info[:2]]


def ensure_environment() -> None:
    """Make `.venv` what pyproject.toml and constraints.txt say, if it isn't yet."""
    constraints = ROOT / "constraints.txt"
    wanted = stamp(
        (ROOT / "pyproject.toml").read_bytes(),
        constraints.read_bytes() if constraints.exists() else b"",
        sys.version_info[:2],
        str(ROOT),
    )
    if STAMP.exists() and STAMP.read_text() == wanted and os.access(in_venv("python"), os.X_OK):
        return
    if not usable_venv():
        make_venv()
    say("installing embertrace and its tools (the first time this takes a few minutes)")
    pinned = ("-c", str(constraints)) if constraints.exists() else ()
    code = pip(*pinned, "-e", ".[all,dev]")
    if code:
        raise WorkshopError(PIP_FAILED.format(code=code, venv=VENV))
    STAMP.write_text(wanted)


# The commands


def lint() -> int:
    checks = (
        (in_venv("ruff"), "check", "."),
        (in_venv("ruff"), "format", "--check", "."),
        (in_venv("mypy"), "-p", "embertrace", "-p", "aggregator"),
    )
    failed = []
    for check in checks:
        name = " ".join([Path(check[0]).name, *check[1:]])
        say(name)
        if run(*check).returncode:
            failed.append(name)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def build() -> int:
    say("building into dist/")
    return run(in_venv("python"), "-m", "hatchling", "build", "-d", "dist").returncode


def constraints() -> int:
    uv = in_venv("uv") if Path(in_venv("uv")).exists() else shutil.which("uv")
    if uv is None:
        say("installing uv, which resolves for all platforms and Pythons at once")
        if pip("uv"):
            raise WorkshopError("pip could not install uv; its reason stands above")
        uv = in_venv("uv")
    oldest = ".".join(str(number) for number in OLDEST_PYTHON)
    options = ("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet")
    resolved = run(
        uv, "pip", "compile", "--universal", "--all-extras", "--python-version", oldest, *options, "pyproject.toml",
        capture=True,
    )  # fmt: skip
    if resolved.returncode:
        raise WorkshopError("uv found no set of versions; its reason stands above, constraints.txt left as it was")
    text = clean_constraints(resolved.stdout)
    (ROOT / "constraints.txt").write_text(text)
    say(f"constraints.txt holds {len(text.splitlines()) - 1} versions")
    return 0


def command(name: str, arguments: Sequence[str]) -> int:
    """Carry out one command; returns its exit code, unless this process becomes the command."""
    if name == "constraints" and not usable_venv():
        make_venv()  # so that a bad constraints.txt can't keep a better one from being made
    elif name != "constraints":
        ensure_environment()
    if name == "demo":
        replace_process(in_venv("embertrace"), "demo", *arguments, directory=Path.cwd())
    elif name == "test":
        replace_process(in_venv("python"), "-m", "pytest", *arguments)
    elif name == "faults":
        replace_process(in_venv("python"), "tests/fault/report.py", *arguments)
    elif name == "screenshots":
        replace_process(in_venv("python"), "tests/browser/pictures.py", *arguments)
    elif name == "bench":
        if not (ROOT / "tests" / "bench" / "__main__.py").exists():
            raise WorkshopError("there are no benchmarks yet: tests/bench/__main__.py is missing")
        replace_process(in_venv("python"), "tests/bench", *arguments)
    elif name in ("package", "interop"):
        replace_process(in_venv("python"), f"tests/{name}", *arguments)
    return {"lint": lint, "build": build, "constraints": constraints}[name]()


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < OLDEST_PYTHON:
        say(f"needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
        return 2
    name, passed_on = parse(arguments)
    try:
        return command(name, passed_on)
    except WorkshopError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
