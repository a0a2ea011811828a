"""The house keeps its shape: files import only from below, and each library stays behind its fence.

The rules are read from the source, so that an import inside a function or under TYPE_CHECKING counts like any other.
A new module needs a line in LAYERS: that is the moment to think about where it belongs.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS = {
    # ground
    **dict.fromkeys(("errors", "event", "config", "ending", "markup"), 0),
    # what things are, and pure analysis
    **dict.fromkeys(("wire", "payload", "lineage", "context", "execution", "sampling", "spec"), 1),
    **dict.fromkeys(("analysis", "keys", "handshake"), 1),
    # where events go, and lie
    **dict.fromkeys(("collect", "sinks", "recording"), 2),
    # what emits, carries and shows them
    **dict.fromkeys(
        ("running", "unrecorded", "traced", "wrappers", "decorate", "operators", "metric", "continuation"), 3
    ),
    **dict.fromkeys(("emit", "monitor", "flow"), 3),
    **dict.fromkeys(("client", "playback", "report", "logs"), 3),
    # what people start
    **dict.fromkeys(("embedded", "run", "sources", "gather", "crossing", "threads", "ray", "labelling", "llm"), 4),
    **dict.fromkeys(("cli", "demo", "doctor", "interop", "testing", "top", "pytest_plugin", "__main__"), 5),
    # the public names
    "": 6,
}
"""Level of each module of embertrace, by its first name; "" is the package itself."""

BESIDE = {
    "event": {"errors"},
    "config": {"errors"},
    "payload": {"wire"},
    "lineage": {"payload", "wire"},
    "sampling": {"lineage", "payload"},
    "context": {"lineage", "payload", "sampling", "wire"},
    "execution": {"context", "lineage", "payload"},
    "spec": {"payload"},
    "handshake": {"keys"},
    "analysis": {"lineage", "payload", "wire"},
    "collect": {"sinks"},
    "unrecorded": {"running"},
    "traced": {"running", "unrecorded"},
    "wrappers": {"running", "traced"},
    "decorate": {"running", "traced", "wrappers"},
    "monitor": {"client"},
    "report": {"flow"},
    "playback": {"client", "emit"},
    "embedded": {"run", "sources"},
    "gather": {"embedded"},
    "labelling": {"sources"},
    "crossing": {"gather"},
    "threads": {"crossing"},
    "ray": {"crossing", "embedded"},
    "cli": {"demo", "doctor", "interop", "top", ""},
    "demo": {""},
    "doctor": {""},
    "top": {"doctor"},
    "pytest_plugin": {""},
    "__main__": {"cli"},
}
"""Imports that are allowed although they don't go down. It has no cycle: a test below holds that."""

AGGREGATOR_MAY_IMPORT = {
    "errors",
    "event",
    "config",
    "wire",
    "payload",
    "lineage",
    "analysis",
    "recording",
    "flow",
    "keys",
    "handshake",
    "interop",  # of it, only what exports: see the test
}
AGGREGATOR_MAY_IMPORT_OF_INTEROP = ("otlp_http", "live")
"""Beside what a person calls, interop has what the aggregator's exporter does; the rest would bring all else along."""

WEB = ("aiohttp", "fastapi", "flask", "http.server", "hypercorn", "pydantic", "sse_starlette", "starlette", "uvicorn")
AGGREGATOR_SOCKETS = (
    "aggregator.ingest",
    "aggregator.rpc",
    "aggregator.analyst",
    "aggregator.server",
    "aggregator.gate",
)
FENCES = {
    "msgpack": ("embertrace.wire", "embertrace.payload"),
    "zmq": ("embertrace.handshake", "embertrace.emit", "embertrace.client", "embertrace.playback", *AGGREGATOR_SOCKETS),
    "ray": ("embertrace.ray", "embertrace.demo"),
    "numpy": (
        "embertrace.analysis",
        "embertrace.recording",
        "embertrace.wire.columns",
        "embertrace.wire.cursor",
        "embertrace.wire.spans",
    ),
    **dict.fromkeys(("statsmodels", "krippendorff", "scipy"), ("embertrace.analysis",)),
    "typer": ("embertrace.cli", "embertrace.top.command"),
    "rich": ("embertrace.cli", "embertrace.top.screen"),
    "textual": ("embertrace.top.screen",),
    "opentelemetry": ("embertrace.interop",),
    "pytest": ("embertrace.pytest_plugin",),
    **dict.fromkeys(WEB, ("aggregator.web",)),
}
"""Which modules (and what is inside them) may import a library."""


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def imports(module: str, source: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything a source imports, wherever it stands; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + is_package]
                base = ".".join([*kept, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if (
                named in ("import_module", "__import__")
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield node.lineno, first.value


def part_of(name: str) -> str:
    """The first name below embertrace; "" for the package itself or one of its public names."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else ""


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """One sentence for each rule a source breaks."""
    found = []
    own = [*module.split("."), ""][1]
    if within(module, "embertrace") and own not in LAYERS:
        return [f"{module} is in no layer; give it a line in LAYERS"]
    for line, name in imports(module, source, is_package):
        for library, allowed in FENCES.items():
            if within(name, library) and not any(within(module, door) for door in allowed):
                found.append(f"{module}:{line} imports {library}, which belongs in {', '.join(allowed)}")
        if within(module, "embertrace"):
            if within(name, "aggregator"):
                found.append(f"{module}:{line} imports the aggregator; the library never does")
            elif within(name, "embertrace"):
                found += broken_layer(module, line, own, part_of(name))
        elif within(name, "embertrace") and not aggregator_may_import(name):
            found.append(f"{module}:{line} imports {name}, which the aggregator must not")
    return found


def aggregator_may_import(name: str) -> bool:
    parts = name.split(".")
    if part_of(name) == "interop":
        return len(parts) > 2 and parts[2] in AGGREGATOR_MAY_IMPORT_OF_INTEROP
    return part_of(name) in AGGREGATOR_MAY_IMPORT


def broken_layer(module: str, line: int, own: str, other: str) -> list[str]:
    if own == other or LAYERS[other] < LAYERS[own] or other in BESIDE.get(own, ()):
        return []
    return [f"{module}:{line} (level {LAYERS[own]}) imports embertrace.{other} (level {LAYERS[other]})"]


def sources() -> Iterator[tuple[str, Path]]:
    for package in ("embertrace", "aggregator"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_file_keeps_to_its_layer_and_fences() -> None:
    found = [
        sentence
        for module, path in sources()
        for sentence in violations(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_what_is_allowed_beside_has_no_cycle() -> None:
    def reaches(start: str, seen: frozenset[str]) -> Iterator[str]:
        for other in BESIDE.get(start, ()):
            assert other not in seen, f"{start} and {other} import each other"
            yield from reaches(other, seen | {other})

    for name, others in BESIDE.items():
        assert {name, *others} <= set(LAYERS)
        list(reaches(name, frozenset({name})))


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("embertrace.event", "import embertrace.collect", "level 0) imports embertrace.collect (level 2)"),
        ("embertrace.collect", "from embertrace import traced", "imports embertrace.traced"),
        ("embertrace.collect", "from embertrace import trace", "imports embertrace. (level 6)"),
        ("embertrace.wire.event", "from ..payload import pack", "imports embertrace.payload (level 1)"),
        (
            "embertrace.analysis.calls",
            "def f():\n    from embertrace.recording import scan",
            "imports embertrace.recording",
        ),
        (
            "embertrace.analysis.calls",
            "if TYPE_CHECKING:\n    import embertrace.recording.scan",
            "embertrace.recording",
        ),
        ("embertrace.context", "import importlib\nimportlib.import_module('embertrace.emit.spool')", "embertrace.emit"),
        ("embertrace.embedded", "import aggregator.server", "imports the aggregator"),
        ("embertrace.nowhere", "", "in no layer"),
        ("embertrace.lineage", "import msgpack", "imports msgpack"),
        ("embertrace.run", "from zmq.asyncio import Context", "imports zmq"),
        ("embertrace.embedded", "import ray", "imports ray"),
        ("embertrace.payload", "def f():\n    import numpy as np", "imports numpy"),
        ("embertrace.monitor", "from rich.live import Live", "imports rich"),
        ("embertrace.client", "import http.server", "imports http.server"),
        ("aggregator.api", "import zmq", "imports zmq"),
        ("aggregator.rpc", "import uvicorn", "imports uvicorn"),
        *(
            (f"aggregator.{door}", f"from embertrace{below}", "the aggregator must not")
            for door, below in (
                ("ingest", ".collect import EventCollector"),
                ("analyst", " import traced"),
                ("api", ".emit.spool import Spool"),
                ("web", ".ray import remote"),
                ("server", ".session import session"),
                ("server", ".cli import main"),
                ("server", " import trace"),
            )
        ),
    ],
)
def test_a_source_that_breaks_a_rule_is_caught(module: str, source: str, said: str) -> None:
    found = violations(module, source)
    assert len(found) == 1 and said in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "embertrace.wire.event",
            "import msgpack\nfrom embertrace.wire.context import pack_context\nfrom . import batch",
        ),
        ("embertrace.collect", "from embertrace import context, payload\nfrom embertrace.errors import ConfigError"),
        ("embertrace.ray", "import ray\nfrom ray.util import queue\nfrom embertrace import emit"),
        ("embertrace.cli", "import typer, rich.table\nfrom embertrace import __version__, demo"),
        ("aggregator.rpc", "import zmq\nfrom aggregator import api\nfrom embertrace.wire import rpc"),
        ("aggregator.web", "import uvicorn\nfrom embertrace.flow import to_svg"),
        ("embertrace.flow.svg", "import raylib, numpydoc"),
    ],
)
def test_a_source_that_keeps_the_rules_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_relative_imports_in_a_package_count_from_it() -> None:
    assert [name for _, name in imports("embertrace.wire", "from . import event", is_package=True)] == [
        "embertrace.wire.event"
    ]


def test_importing_embertrace_loads_no_heavy_library() -> None:
    program = "import sys, embertrace; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"ray", "numpy", "zmq", "rich", "typer", *WEB} & set(done.stdout.split())


def test_an_analyst_that_nobody_asks_over_http_loads_no_web_library() -> None:
    program = "import sys, aggregator.analyst; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {*WEB, "pyarrow"} & set(done.stdout.split())


def test_no_module_has_the_name_of_a_public_function() -> None:
    """Importing the module would hide the function behind it: `et.session` would be a module."""
    import embertrace

    modules = {path.stem if path.suffix else path.name for path in (ROOT / "embertrace").iterdir()}
    assert not modules & {*embertrace.__all__}
