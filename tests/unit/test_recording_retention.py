"""Retention: what goes is the oldest, whole, said by the recording itself, and no damage to anybody."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace import sources
from embertrace.errors import ConfigError
from embertrace.recording import (
    Damage,
    Follower,
    Limits,
    Recording,
    RecordingWriter,
    Removed,
    Retention,
    check,
    removal,
    repair,
)
from embertrace.recording.retention import DAY_NS, Sealed, count_expired
from embertrace.report import as_text, report
from support.filesystems import mounted
from support.recordings import ONE, TWO, append_batch, records, segments, ticking


def count(sizes: list[int], active: int = 0, now: int = 10**6, **limits: int) -> int:
    """Of segments of these sizes, of which each has its newest record at its index."""
    sealed = [Sealed(index, size, index) for index, size in enumerate(sizes)]
    return count_expired(sealed, active, Limits(**limits), now)


def test_the_oldest_go_until_the_rest_is_within_the_limit() -> None:
    assert count([10, 10, 10], active=5) == 0
    assert count([10, 10, 10], active=5, keep_bytes=35) == 0
    assert count([10, 10, 10], active=5, keep_bytes=34) == 1
    assert count([10, 10, 10], active=5, keep_bytes=15) == 2
    assert count([10, 10, 10], active=5, keep_bytes=1) == 3
    assert count([], active=10**12, keep_bytes=1) == 0


def test_what_is_too_old_goes_and_a_clock_set_back_removes_nothing() -> None:
    assert count([1, 1, 1], now=10, keep_ns=10) == 0
    assert count([1, 1, 1], now=11, keep_ns=10) == 1
    assert count([1, 1, 1], now=100, keep_ns=10) == 3
    assert count([1, 1, 1], now=-100, keep_ns=10) == 0
    assert count([1, 1, 1], now=11, keep_ns=10, keep_bytes=1) == 2


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100))),
    st.integers(0, 100),
    st.one_of(st.none(), st.integers(1, 300)),
    st.one_of(st.none(), st.integers(1, 100)),
)
def test_what_goes_must_go_and_what_stays_may_stay(
    pairs: list[tuple[int, int]], active: int, keep_bytes: int | None, keep_ns: int | None
) -> None:
    sealed = [Sealed(index, size, at) for index, (size, at) in enumerate(pairs)]
    gone = count_expired(sealed, active, Limits(keep_bytes, keep_ns), 100)
    sizes = [segment.size for segment in sealed]
    for index in range(gone):
        too_old = keep_ns is not None and 100 - sealed[index].newest_ns > keep_ns
        assert too_old or (keep_bytes is not None and active + sum(sizes[index:]) > keep_bytes)
    if gone < len(sealed):
        assert keep_ns is None or 100 - sealed[gone].newest_ns <= keep_ns
        assert keep_bytes is None or active + sum(sizes[gone:]) <= keep_bytes


def test_limits_as_people_type_them() -> None:
    assert Limits.parse(None, None) == Limits()
    assert Limits.parse("10GB", 30).keep_bytes == 10**10
    assert Limits.parse("1.5 MiB", None).keep_bytes == 3 * 2**19
    assert Limits.parse("700", 0.5) == Limits(700, DAY_NS // 2)
    for bad in ("", "lots", "-1GB", "0", "10XB", "1e9", "I", "5IB"):
        with pytest.raises(ConfigError, match="--keep-bytes is"):
            Limits.parse(bad, None)
    for days in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="--keep-days is"):
            Limits.parse(None, days)


@pytest.fixture
def five(tmp_path: pathlib.Path) -> pathlib.Path:
    """Five sealed segments with one batch each, one of TWO and then ONE's, and an active one without any."""
    with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking(), segment_bytes=10) as writer:
        append_batch(writer, TWO, 1, 1)
        writer.sync()
        for seq in range(1, 5):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
    return tmp_path / "rec"


def keep(directory: pathlib.Path, segments_kept: int, **clock: Any) -> int:
    """Enforce that so many of the newest segments are kept, by bytes."""
    size = sum(path.stat().st_size for path in segments(directory)[-segments_kept:])
    return Retention(directory, Limits(keep_bytes=size), **{"clock_ns": ticking(), **clock}).enforce()


def test_what_was_removed_is_said_and_is_no_damage(five: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = records(five)
    assert keep(five, 4) == 2
    recording = Recording.open(five)
    assert recording.removed() == Removed(recording.bases()[0], 2)
    assert records(five) == before[2:]
    found = check(five)
    assert (found.ok, found.removed_segments, found.segments) == (True, 2, 4)
    assert "2 segments before them were removed by retention" in str(found)
    assert keep(five, 3) == 1
    assert recording.removed().segments == 3
    analysis = sources.open(five)
    assert analysis.health()["removed_segments"] == 3
    assert analysis.errors().left_out == {"segments removed by retention": 3}
    assert "3 segments were removed by retention" in as_text(report(analysis))
    repair(five, tmp_path / "copy")
    assert (check(tmp_path / "copy").ok, records(tmp_path / "copy")) == (True, before[3:])
    assert Recording.open(tmp_path / "copy").removed() == recording.removed()


def test_marks_survive_and_the_active_segment_stays(five: pathlib.Path) -> None:
    assert Retention(five, Limits(keep_bytes=1, keep_ns=1), clock_ns=lambda: 1 << 62).enforce() == 5
    assert len(segments(five)) == 1
    assert records(five) == []
    with RecordingWriter(five, clock_ns=ticking(), segment_bytes=10) as writer:
        assert writer.marks == {TWO: 1, ONE: 4}
        append_batch(writer, ONE, 5, 1)
    assert check(five).ok
    assert [record.first_seq for record in records(five)] == [5]


def test_by_age_a_segment_goes_once_its_newest_record_is_too_old(five: pathlib.Path) -> None:
    newest = [record.received_ns for record in records(five)]
    now = newest[2] + 60 * 10**9
    assert Retention(five, Limits(keep_ns=60 * 10**9), clock_ns=lambda: now).enforce() == 2
    assert [record.received_ns for record in records(five)] == newest[2:]
    assert Retention(five, Limits(keep_ns=60 * 10**9), clock_ns=lambda: now).enforce() == 0


def test_no_limits_touch_nothing(five: pathlib.Path) -> None:
    assert Retention(five, Limits(), clock_ns=lambda: 1 << 62).enforce() == 0
    assert not (five / "removed.json").exists()


def test_a_removal_that_was_interrupted_is_no_damage_and_is_finished(
    five: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = records(five)
    with monkeypatch.context() as broken:
        broken.setattr(pathlib.Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(OSError, match="I/O error"):
            keep(five, 4)
    assert len(segments(five)) == 6
    assert records(five) == before[2:]
    assert check(five).ok
    assert keep(five, 4) == 0
    assert len(segments(five)) == 4
    assert Recording.open(five).removed().segments == 2


def test_segments_that_somebody_deleted_are_damage(five: pathlib.Path, tmp_path: pathlib.Path) -> None:
    keep(five, 5)
    segments(five)[0].unlink()
    first, *rest = Recording.open(five).records()
    assert first == Damage(Recording.open(five).removed().before, first.end - first.position, "a segment is missing")
    assert len(rest) == 3
    assert not check(five).ok
    follower = Follower(Recording.open(five))
    assert follower.poll() == rest
    assert (follower.damages, follower.removed_segments) == ([first], 1)
    repair(five, tmp_path / "copy")
    assert check(tmp_path / "copy").ok


def test_a_statement_that_can_not_be_read_counts_for_nothing(five: pathlib.Path) -> None:
    keep(five, 4)
    for text in ("", "[]", "{", '{"before": -1, "segments": 1}', '{"before": 9}', '{"before": "x", "segments": 1}'):
        (five / "removed.json").write_text(text)
        assert Recording.open(five).removed() == Removed()
        assert not check(five).ok


def test_a_statement_that_was_changed_counts_for_nothing_and_removes_nothing(five: pathlib.Path) -> None:
    """One flipped bit of its position would hide segments from readers, and have retention remove them."""
    keep(five, 4)
    stated, kept = (five / "removed.json").read_bytes(), segments(five)
    assert check(five).ok
    for offset in range(stated.index(b', "crc"')):
        for bit in (1, 2, 4, 8):
            changed = stated[:offset] + bytes([stated[offset] ^ bit]) + stated[offset + 1 :]
            (five / "removed.json").write_bytes(changed)
            assert Recording.open(five).removed() == Removed(), changed
    assert not check(five).ok
    assert Retention(five, Limits(keep_bytes=1 << 40), clock_ns=ticking()).enforce() == 0
    assert segments(five) == kept
    (five / "removed.json").write_text('{"before": 400, "segments": 1}')  # as earlier versions stated it
    assert Recording.open(five).removed() == Removed(400, 1)


def test_there_is_always_space_for_the_statement(five: pathlib.Path) -> None:
    """Of all times, segments must go when the disk is full."""
    with mounted(512 * 1024) as disk:
        shutil.copytree(five, disk / "rec")
        assert keep(disk / "rec", 6) == 0
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        for left in (4, 2):
            assert keep(disk / "rec", left) > 0
            assert len(segments(disk / "rec")) == left
        assert check(disk / "rec").ok


def test_a_follower_survives_the_removal_under_it(five: pathlib.Path) -> None:
    everything, recording = records(five), Recording.open(five)
    follower = Follower(recording)
    assert follower.poll(limit_bytes=1) == everything[:1]
    other = Follower(recording, everything[1].position)
    iterator = recording.records()
    assert next(iterator) == everything[0]
    keep(five, 3)
    for reader in (follower, other):
        assert reader.poll() == everything[3:]
        assert (reader.damages, reader.removed_segments) == ([], 3)
    assert list(iterator) == everything[3:]


def test_retention_beside_a_writer_that_rolls(tmp_path: pathlib.Path) -> None:
    limits, steps = Limits(keep_bytes=600), itertools.count(1)
    with RecordingWriter(tmp_path, name="n", clock_ns=ticking(), segment_bytes=150) as writer:
        retention = removal.Retention(tmp_path, limits, clock_ns=ticking())
        follower, seen = Follower(Recording.open(tmp_path)), []
        for seq in itertools.islice(steps, 60):
            append_batch(writer, ONE, seq, 1)
            writer.sync()
            retention.enforce()
            seen += follower.poll()
            assert sum(path.stat().st_size for path in segments(tmp_path)) <= 600
        assert [record.first_seq for record in seen] == list(range(1, 61))
    assert check(tmp_path).ok
