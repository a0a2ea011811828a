"""A finding: how bad it is, where, what it is, and what to do. And how quantities are put into words."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Severity = Literal["ok", "warn", "bad"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth saying. `todo` is what to do about it; None where there is nothing to do."""

    severity: Severity
    where: str
    what: str
    todo: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of what depends on what."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is bad. Warnings are no reason to fail."""
        return all(finding.severity != "bad" for finding in self.findings)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "findings": [dataclasses.asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        width = max((len(finding.where) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.severity:<4}  {finding.where:<{width}}  {printable(finding.what)}")
            if finding.todo is not None:
                lines.append(f"{'':<{width + 8}}→ {printable(finding.todo)}")
        return "\n".join(lines)


def printable(text: str) -> str:
    """Text of others on one line: what would move a terminal's cursor or colours is shown as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def size(count: float) -> str:
    """Bytes as people say them: 512 B, 3.0 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span(seconds: float) -> str:
    """A time span as people say it, in one unit: 3 s, 5 min, 2.5 h, 4.0 days. What is negative is 0 s."""
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def many(count: int, one: str, more: str | None = None) -> str:
    """A count with its noun: 1 stream, 1,203 events."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
