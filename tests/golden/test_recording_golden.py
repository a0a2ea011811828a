"""The bytes of a recording, held by files: `python tests/golden/test_recording_golden.py` writes them anew.

Change them only together with the version in the format, and keep readers for what is out there.
tests/golden/data/recording-v1 is a whole recording, which this library opens; only its id is another each time.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from embertrace.recording import BATCH, BEGIN, CLOCK, END, GAP, Recording, check
from support.recordings import ONE, TWO, make_small, records, segments

DATA = Path(__file__).parent / "data" / "recording-v1"
DOCUMENT = Path(__file__).parents[2] / "docs" / "recording-format.md"


def test_the_same_events_give_the_same_bytes(tmp_path: Path) -> None:
    make_small(tmp_path)
    assert [path.name for path in segments(tmp_path)] == [path.name for path in segments(DATA)]
    for made, held in zip(segments(tmp_path), segments(DATA), strict=True):
        assert made.read_bytes() == held.read_bytes(), f"{held.name} differs"


def test_the_held_recording_is_read() -> None:
    recording = Recording.open(DATA)
    assert (recording.name, recording.created, len(recording.id)) == ("small", 1_700_000_000.0, 32)
    assert [(record.kind, record.producer, record.first_seq, record.count) for record in records(DATA)] == [
        (BEGIN, ONE, 0, 0),
        (BATCH, ONE, 1, 2),
        (BATCH, TWO, 1, 1),
        (BATCH, ONE, 3, 1),
        (CLOCK, ONE, 0, 0),
        (BEGIN, ONE, 4, 0),
        (GAP, TWO, 2, 5),
        (BATCH, TWO, 7, 2),
        (END, ONE, 3, 0),
    ]
    assert check(DATA).ok


def test_the_reader_in_the_document_reads_it() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    found = list(namespace["read_recording"](str(DATA)))
    assert found == [
        (record.position, record.kind, record.producer, record.first_seq, record.count, record.payload)
        for record in records(DATA)
    ]


def test_the_document_shows_the_held_bytes() -> None:
    """The worked example in the document is the beginning of the second segment."""
    (shown,) = re.findall(r"```hex\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    octets = bytes.fromhex("".join(line.split("|")[0] for line in shown.splitlines()))
    assert segments(DATA)[1].read_bytes().startswith(octets)
    assert len(octets) >= 80 + 64


def write() -> None:
    """Replace the held files; the id stays, so that only what changed shows in a diff."""
    identity = json.loads((DATA / "recording.json").read_text())["id"] if DATA.exists() else "0f" * 16
    with tempfile.TemporaryDirectory() as scratch:
        make_small(Path(scratch))
        shutil.rmtree(DATA, ignore_errors=True)
        shutil.copytree(Path(scratch) / "segments", DATA / "segments")
        manifest = json.loads((Path(scratch) / "recording.json").read_text())
    (DATA / "recording.json").write_text(json.dumps({**manifest, "id": identity}) + "\n")


if __name__ == "__main__":
    write()
