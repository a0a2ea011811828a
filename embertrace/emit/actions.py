"""What a producer's state machine asks of whoever runs it (see producer)."""

from __future__ import annotations

import dataclasses

from embertrace.wire.control import Control


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """Send this control message."""

    message: Control


@dataclasses.dataclass(frozen=True, slots=True)
class Connect:
    """Open a fresh PUSH socket to this port (of `host`, or of whom was dialled); drop the old one."""

    port: int
    host: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Redial:
    """Open a fresh socket to the control port; drop the old one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """Send this message over the PUSH socket."""

    message: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Tell the user, once."""

    text: str


Action = Say | Connect | Redial | Push | Report
