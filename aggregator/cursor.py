"""How far the exporter got, kept beside the recording: a new exporter goes on there. Whoever loses it sends twice.

The file `otlp.json` of a recording: {"version": 1, "to": URL, "position": …, "runs": [[producer, seq, event], …]},
producers and events as hexadecimal digits. It is for one receiver; of another it says nothing. Not synced: an earlier
one means that spans are sent again, with the same ids.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from embertrace.errors import WireError
from embertrace.wire.event import RawEvent, pack_event, unpack_event

FILE = "otlp.json"
VERSION = 1


class Cursor(NamedTuple):
    """From which position on the recording is needed, and the events that describe runs: (producer, seq, event)."""

    position: int
    runs: list[tuple[bytes, int, RawEvent]]


def read_cursor(directory: Path, url: str) -> Cursor | None:
    """What an earlier exporter to the same receiver left; None where there is none that can be used."""
    try:
        held = json.loads((directory / FILE).read_bytes())
        if held["version"] != VERSION or held["to"] != url:
            return None
        runs = [(bytes.fromhex(one), int(seq), unpack_event(bytes.fromhex(event))) for one, seq, event in held["runs"]]
        return Cursor(max(0, int(held["position"])), runs)
    except (OSError, ValueError, KeyError, TypeError, WireError):  # none, or damaged
        return None


def write_cursor(directory: Path, url: str, cursor: Cursor) -> None:
    """Replace the file. Raises OSError."""
    runs = [[producer.hex(), seq, pack_event(event).hex()] for producer, seq, event in cursor.runs]
    text = json.dumps({"version": VERSION, "to": url, "position": cursor.position, "runs": runs})
    partial = directory / f".{FILE}.{os.getpid()}.partial"
    partial.write_text(text)
    partial.replace(directory / FILE)
