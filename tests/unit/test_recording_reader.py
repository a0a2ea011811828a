"""Reading a recording, following it while it grows, checking it."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import subprocess
import sys

import pytest

from embertrace.errors import RecordingError
from embertrace.recording import BATCH, Damage, Follower, Limits, Record, Recording, RecordingWriter, Retention, check
from embertrace.recording.files import OpenSegment
from support.recordings import ONE, TWO, append_batch, make_small, records, segments, ticking


@pytest.fixture
def small(tmp_path: pathlib.Path) -> pathlib.Path:
    make_small(tmp_path / "small")
    return tmp_path / "small"


def test_what_is_no_recording_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("…")
    for path, sentence in [("missing", "there is no recording at"), ("", "is no recording"), ("file", "is a file")]:
        with pytest.raises(RecordingError, match=sentence):
            Recording.open(tmp_path / path)
        with pytest.raises(RecordingError, match=sentence):
            check(tmp_path / path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"format": 2, "new": true}', "format 2 and this embertrace reads format 1: update embertrace"),
        ('{"format": true}', "states no format"),
        ("[]", "states no format"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"format": 1, "id": "x", "name": "n", "created": 1}', "id, name or creation time is not valid"),
    ],
)
def test_a_manifest_that_cannot_be_used(text: str, sentence: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "recording.json").write_text(text)
    with pytest.raises(RecordingError, match=sentence):
        Recording.open(tmp_path)


def test_an_empty_recording_yields_nothing(tmp_path: pathlib.Path) -> None:
    RecordingWriter(tmp_path, name="empty", clock_ns=ticking()).close()
    recording = Recording.open(tmp_path)
    assert (recording.name, recording.created, recording.directory) == ("empty", 1_700_000_000.0, tmp_path)
    assert list(recording.records()) == []
    assert Follower(recording).poll() == []
    assert check(tmp_path).ok
    (tmp_path / "synced").unlink()
    segments(tmp_path)[0].unlink()
    bare = Recording.open(tmp_path)
    assert (list(bare.records()), bare.end(), bare.synced()) == ([], 0, 0)
    assert Follower(bare).poll() == []


def test_a_range_holds_what_begins_in_it(small: pathlib.Path) -> None:
    everything = records(small)
    assert len(everything) == 9
    for index, record in enumerate(everything):
        assert records(small, start=record.position) == everything[index:]
        assert records(small, start=record.end) == everything[index + 1 :]
        assert records(small, stop=record.position) == everything[:index]
        assert records(small, stop=record.position + 1) == everything[: index + 1]


def test_removed_segments_are_no_damage_but_missing_ones_are(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path, name="n", clock_ns=ticking(), segment_bytes=10) as writer:
        for seq in range(1, 5):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
    files = segments(tmp_path)
    size = sum(path.stat().st_size for path in files)
    assert Retention(tmp_path, Limits(keep_bytes=size - 1), clock_ns=ticking()).enforce() == 1
    assert not files[0].exists()
    assert [record.first_seq for record in records(tmp_path)] == [2, 3, 4]
    assert check(tmp_path).ok
    files[2].unlink()
    items = list(Recording.open(tmp_path).records())
    assert [item.first_seq if isinstance(item, Record) else item.length for item in items] == [
        2,
        int(files[3].stem) - int(files[2].stem),
        4,
    ]
    report = check(tmp_path)
    assert (report.ok, report.discontinuity_count) == (False, 1)
    follower = Follower(Recording.open(tmp_path))
    assert [record.first_seq for record in follower.poll()] == [2, 4]
    assert [damage.length for damage in follower.damages] == [items[1].length]
    assert follower.removed_segments == 1


def test_damage_in_a_sealed_segment_is_skipped_and_no_tail(small: pathlib.Path) -> None:
    everything = records(small)
    first = segments(small)[0]
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    items = list(Recording.open(small).records())
    assert [item for item in items if isinstance(item, Record)] == everything[:4] + everything[5:]
    assert [item for item in items if isinstance(item, Damage)] == [
        Damage(
            everything[4].position,
            everything[4].end - everything[4].position,
            "a payload that does not match its checksum",
        )
    ]
    follower = Follower(Recording.open(small))
    assert follower.poll() == everything[:4] + everything[5:]
    assert len(follower.damages) == 1


def test_a_segment_of_another_place_is_noticed(small: pathlib.Path) -> None:
    first, second = segments(small)
    second.rename(second.with_name(f"{int(second.stem) + 1:020d}.seg"))
    items = list(Recording.open(small).records())
    assert sum(isinstance(item, Record) for item in items) == 5  # those of the first; no moved record passes for one
    assert sum(isinstance(item, Damage) for item in items) == 2
    assert not check(small).ok
    assert first.exists()


def test_following_across_rolls(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path, name="n", clock_ns=ticking(), segment_bytes=700) as writer:
        follower = Follower(Recording.open(tmp_path))
        seen: list[Record] = []
        for seq in range(1, 41):
            append_batch(writer, ONE, seq, 1)
            if seq % 3 == 0:
                writer.sync()
            new = follower.poll()
            assert all(record.end <= writer.synced for record in new)
            seen += new
            assert len(seen) == seq - seq % 3
            assert follower.position == writer.synced
            assert follower.poll() == []
        writer.sync()
        seen += follower.poll()
    assert len(segments(tmp_path)) > 4
    assert seen == records(tmp_path)
    assert [record.first_seq for record in seen] == list(range(1, 41))


def test_a_follower_takes_no_more_than_it_is_told_and_can_be_continued(small: pathlib.Path) -> None:
    everything = records(small)
    recording = Recording.open(small)
    follower, seen = Follower(recording), []
    for _ in everything:
        (record,) = follower.poll(limit_bytes=1)
        seen.append(record)
        assert Follower(recording, follower.position).poll() == everything[len(seen) :]
    assert seen == everything
    assert follower.poll() == []
    assert follower.position == recording.synced()


@pytest.mark.parametrize("limit", [1, 200, 8 * 1024 * 1024])
@pytest.mark.parametrize("size", [1, 70, 200])
def test_a_follower_reads_in_pieces_and_after_an_error_goes_on_where_it_was(
    size: int, limit: int, small: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embertrace.recording.reader.PIECE_BYTES", size)
    recording = Recording.open(small)
    everything = list(recording.records())
    read, failures, calls = OpenSegment.read, 0, 0

    def now_and_then(segment: OpenSegment, offset: int, stop: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls in (3, 4, 12):
            raise OSError(errno.EIO, "Input/output error")
        return read(segment, offset, stop)

    monkeypatch.setattr(OpenSegment, "read", now_and_then)
    follower, seen = Follower(recording), []
    while follower.position < recording.synced():
        try:
            seen += follower.poll(limit)
        except RecordingError as error:
            assert "can't be read: Input/output error" in str(error)
            failures += 1
    assert seen == everything
    assert follower.damages == []
    assert failures > 0


def test_an_idle_follower_touches_no_file(small: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(Recording.open(small))
    follower.poll()

    def touched(*_: object) -> None:
        raise AssertionError("an idle follower went to the disk")

    monkeypatch.setattr("embertrace.recording.reader.read_segment", touched)
    monkeypatch.setattr("embertrace.recording.follower.OpenSegment", touched)
    monkeypatch.setattr("embertrace.recording.reader.segment_bases", touched)
    assert follower.poll() == []


def test_a_follower_notices_that_a_recording_was_cut_back(small: pathlib.Path) -> None:
    follower = Follower(Recording.open(small))
    follower.poll()
    last = segments(small)[-1]
    os.truncate(last, last.stat().st_size - 64)
    RecordingWriter(small, clock_ns=ticking()).close()
    with pytest.raises(RecordingError, match="cut back or replaced"):
        follower.poll()


def test_the_synced_position_is_seen_from_another_process(tmp_path: pathlib.Path) -> None:
    script = (
        "import sys; from embertrace.recording import Recording, Follower\n"
        "follower = Follower(Recording.open(sys.argv[1]))\n"
        "for _ in sys.stdin: print(len(follower.poll()), follower.position, flush=True)\n"
    )
    with (
        RecordingWriter(tmp_path, name="n", clock_ns=ticking(), segment_bytes=300) as writer,
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other,
    ):
        assert other.stdin is not None and other.stdout is not None
        for seq in range(1, 6):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
            print("poll", file=other.stdin, flush=True)
            assert other.stdout.readline().split() == ["1", str(writer.synced)]
        other.stdin.close()
        assert other.wait(30) == 0


def test_a_check_counts_what_is_there(small: pathlib.Path) -> None:
    steps: list[tuple[int, int]] = []
    report = check(small, lambda done, total: steps.append((done, total)))
    assert report.ok
    assert (report.segments, report.records, report.batches, report.events) == (2, 9, 4, 6)
    assert (report.gaps, report.gap_seqs, report.producers, report.producers_ended) == (1, 5, 2, 1)
    assert report.bytes == Recording.open(small).end() == steps[-1][0] == steps[-1][1]
    assert steps == sorted(steps)
    assert json.loads(json.dumps(report.to_data()))["ok"] is True


def test_a_check_finds_poison_repeats_and_what_is_missing(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path, name="n", clock_ns=ticking()) as writer:
        append_batch(writer, ONE, 1, 2)
        append_batch(writer, ONE, 2, 1)
        writer.append(BATCH, TWO, 1, 3, b"\xc1\xc1\xc1")
        last = append_batch(writer, TWO, 4, 1)
    os.truncate(segments(tmp_path)[0], last)  # at the border of a record: only `synced` knows that it was there
    report = check(tmp_path)
    assert not report.ok
    assert (report.damages, report.torn_tail) == ([], None)
    assert report.missing_bytes > 64
    assert [(jump.producer, jump.expected, jump.found) for jump in report.discontinuities] == [(ONE, 3, 2)]
    assert (report.undecodable_events, report.undecodable[0].lost, report.events) == (3, 3, 3)
    assert json.loads(json.dumps(report.to_data()))["discontinuities"][0]["producer"] == ONE.hex()


def test_a_tail_that_was_never_synced_is_no_fault(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path)
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(b"\x89ETR and then the power failed")
    items = list(Recording.open(tmp_path).records())
    assert [item.tail for item in items if isinstance(item, Damage)] == [True]
    report = check(tmp_path)
    assert report.ok
    assert report.torn_tail is not None
    assert json.loads(json.dumps(report.to_data()))["torn_tail"]["tail"] is True
