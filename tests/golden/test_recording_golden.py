"""The bytes of a recording, held by files: `python tests/golden/test_recording_golden.py` writes them anew, and
with `packed` behind it the packed ones.

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

from embertrace.event import CALL, RESULT
from embertrace.recording import BATCH, BEGIN, CLOCK, END, GAP, Recording, check
from embertrace.recording.layout import pack_record, pack_segment_header
from embertrace.recording.packed import STREAMS, blocks, pack_segment, unpack_segment
from embertrace.wire.event import RawEvent, pack_event
from support.recordings import ONE, TWO, make_small, records, segments

DATA = Path(__file__).parent / "data" / "recording-v1"
PACKED, APART = DATA.with_name("recording-v1-packed"), DATA.with_name("recording-v1-apart")
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


def test_the_held_packed_segments_unpack_to_the_held_segments() -> None:
    """Packing again may give other bytes: compressors differ. What was packed is read for good."""
    for packed, plain in zip(segments(PACKED), segments(DATA), strict=True):
        assert packed.name == plain.name + "z"
        assert unpack_segment(packed.read_bytes(), int(packed.stem)) == plain.read_bytes()
    assert records(PACKED) == records(DATA)


def test_a_held_segment_whose_events_were_taken_apart() -> None:
    (held,) = segments(APART)
    packed = held.read_bytes()
    assert [block.coding for block in blocks(packed, 0)] == [STREAMS]
    assert unpack_segment(packed, 0) == apart()


def apart() -> bytes:
    """A segment of events as tracing makes them: two calls and their results."""
    events = [
        RawEvent(kind, 2**60 + call, b"t" * 16, 2**63 + call, 0, 0, 0, call, "op", "t", "s", took, 0, 0, (), b"", b"")
        for call in range(2)
        for kind, took in ((CALL, None), (RESULT, 7))
    ]
    head = pack_segment_header(0, 5, {})
    return head + pack_record(BATCH, 6, ONE, 1, len(events), b"".join(map(pack_event, events)), len(head))


def write_packed() -> None:
    """Replace the held packed files by those of the held plain ones: for a new version of that form only."""
    plain = [(path.stem, path.read_bytes()) for path in segments(DATA)]
    for directory, contents in ((PACKED, plain), (APART, [(f"{0:020d}", apart())])):
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "segments").mkdir(parents=True)
        shutil.copy(DATA / "recording.json", directory)
        for name, content in contents:
            packed = pack_segment(content, int(name))
            assert packed is not None
            (directory / "segments" / f"{name}.segz").write_bytes(packed)


def write() -> None:
    """Replace the held files; the id stays, so that only what changed shows in a diff."""
    identity = json.loads((DATA / "recording.json").read_text())["id"] if DATA.exists() else "0f" * 16
    with tempfile.TemporaryDirectory() as scratch:
        make_small(Path(scratch))
        shutil.rmtree(DATA, ignore_errors=True)
        shutil.copytree(Path(scratch) / "segments", DATA / "segments")
        manifest = json.loads((Path(scratch) / "recording.json").read_text())
    del manifest["crc"]  # that of another id; what is held is as the first versions wrote it
    (DATA / "recording.json").write_text(json.dumps({**manifest, "id": identity}) + "\n")


if __name__ == "__main__":
    write_packed() if sys.argv[1:] == ["packed"] else write()
