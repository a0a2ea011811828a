"""Findings about this process and machine, but for its spools: versions, Ray, settings. Pure."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterator

from embertrace.config import Settings
from embertrace.doctor.facts import Facts, Installed, Unknown
from embertrace.doctor.findings import Finding

_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)*)\s*")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
NEEDED = ("python", "pyzmq", "msgpack", "numpy")
"""What must be there; Ray need not."""


def find_versions(installed: Installed) -> Iterator[Finding]:
    """What is installed, and whether it is in the range that embertrace was made for."""
    faulty = False
    for name, wanted in installed.ranges.items():
        version = installed.versions.get(name)
        if version is None and name not in NEEDED:
            continue
        if version is None or not is_within(version, wanted):
            faulty = True
            found = f"{name} {version}" if version is not None else f"{name} is not installed"
            advice = f"pip install '{name}{wanted}'" if name != "python" else f"run a Python {wanted}"
            yield Finding("bad", "versions", f"{found}; embertrace needs {wanted}", advice)
    if not faulty:
        yield Finding("ok", "versions", ", ".join(f"{name} {version}" for name, version in installed.versions.items()))
    if installed.ray is not None:
        yield Finding("ok", "ray", installed.ray)


def is_within(version: str, wanted: str) -> bool:
    """Whether a version satisfies comparisons like ">=1.1,<2". One that can't be read counts as satisfied."""
    ours = _numbers(version)
    if not ours:
        return True
    for part in wanted.split(","):
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            continue
        theirs = _numbers(match[2])
        length = max(len(ours), len(theirs))
        if not _COMPARE[match[1]](_padded(ours, length), _padded(theirs, length)):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(number) for number in release[0].split(".")) if release is not None else ()


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))


def find_settings(facts: Facts) -> Iterator[Finding]:
    """Where this environment makes programs send their events."""
    settings = facts.settings
    if isinstance(settings, Unknown):
        todo = "correct it; until then programs run with all settings at their defaults"
        yield Finding("bad", "settings", settings.why, todo)
    else:
        yield Finding("ok", "settings", _destination(settings, facts.key))
    if isinstance(facts.key, Unknown):
        yield Finding(
            "bad", "settings", facts.key.why, "name a client's key file by EMBERTRACE_KEY; see docs/security.md"
        )
    known = [f"EMBERTRACE_{name.upper()}" for name in Settings.__slots__]
    for name in facts.strangers:
        near = difflib.get_close_matches(name, known, 1)
        todo = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        yield Finding("warn", "settings", f"{name} is set, and no setting", todo)


def _destination(settings: Settings, key: str | Unknown | None) -> str:
    if settings.endpoint is None:
        return "EMBERTRACE_ENDPOINT is not set: events go where a program says (session, init, collect_events)"
    named = [
        f"run {settings.run}" if settings.run else "",
        f"project {settings.project}" if settings.project else "",
        f"key {key}" if isinstance(key, str) else "",
    ]
    return ", ".join([f"events go to {settings.endpoint}", *filter(None, named)])
