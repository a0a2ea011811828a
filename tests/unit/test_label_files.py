"""Labels from CSV files: what is read, what is refused, and what stands in the recording afterwards."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embertrace as et
from embertrace.errors import ConfigError, LockedError, QueryError, RecordingError
from embertrace.labelling import label_file
from embertrace.labelling.matching import match
from embertrace.labelling.rows import MAX_FILE_BYTES, Row
from embertrace.recording import RecordingWriter, check
from support.forests import Story
from support.told import record


@pytest.fixture
def recording(tmp_path: pathlib.Path) -> pathlib.Path:
    story = Story(run="r1")
    story.describe_run("r1", name="nightly", status="finished")
    for key in ("q1", "q2", 3, "4"):
        story.question(key, "aab", "a", epoch=0)
    return record(tmp_path / "rec", story.events)


def csv(tmp_path: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def truths(recording: pathlib.Path) -> dict[Any, Any]:
    return {row["item"]: row["truth"] for row in et.open(recording).items() if row["truth"] is not None}


def test_labels_are_appended_and_joined(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = et.open(recording).items()
    done = label_file(recording, csv(tmp_path, 'by,key,truth\nann,q1,a\nbob,q2,"b, or c"\n,q3,a\n'), by="human:cy")
    assert (done.labels, done.unknown) == (3, ("q3",))
    assert truths(recording) == {"q1": "a", "q2": "b, or c"}
    assert [row["by"] for row in et.open(recording).labels()] == ["ann", "bob", "human:cy"]
    assert [row["answers"] for row in et.open(recording).items()] == [row["answers"] for row in before]
    assert check(recording).ok
    assert et.open(recording).health()["gaps"] == 0


def test_a_second_file_goes_on_where_the_first_ended(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    label_file(recording, csv(tmp_path, "key,truth,by\nq1,a,ann\nq2,b,ann\n"))
    label_file(recording, csv(tmp_path, "key,truth,by\nq1,c,ann\n"))
    assert truths(recording) == {"q1": "c", "q2": "b"}
    assert [row["status"] for row in et.open(recording).labels()] == ["replaced", "current", "current"]


def test_a_key_of_digits_is_a_text_or_else_a_number(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = label_file(recording, csv(tmp_path, "key,truth\n3,a\n4,b\n5,c\n007,d\n"))
    assert truths(recording) == {3: "a", "4": "b"}
    assert done.unknown == ("5", "007")


def test_truths_as_json_are_numbers_lists_and_withdrawals(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    label_file(recording, csv(tmp_path, "key,truth\nq1,7\nq2,7\n"), truth_as="json")
    assert truths(recording) == {"q1": 7, "q2": 7}
    label_file(recording, csv(tmp_path, 'key,truth\nq1,"[""a"", ""b""]"\nq2,null\n'), truth_as="json")
    assert truths(recording) == {"q1": ["a", "b"]}


def test_labels_of_a_run_and_of_an_epoch(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert label_file(recording, csv(tmp_path, "key,truth,epoch\nq1,a,0\nq2,a,1\n"), run="nightly").unknown == ("q2",)
    assert truths(recording) == {"q1": "a"}
    before = check(recording).to_data()
    with pytest.raises(QueryError, match=r"there is no run 'weekly'; there are r1 \(nightly\)"):
        label_file(recording, csv(tmp_path, "key,truth\nq2,a\n"), run="weekly")
    assert check(recording).to_data() == before


def test_what_is_skipped_or_repeated_is_counted(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = "key,truth,question\r\nq1,,why?\r\n\r\nq1,b,x\r\nq1,c,y\r\n"
    done = label_file(recording, csv(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert (done.labels, done.without_truth, done.repeated) == (2, 1, 1)
    assert truths(recording) == {"q1": "c"}
    assert "1 rows without a truth skipped" in str(done) and "the last of each counts" in str(done)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has no column key and no truth, but nothing"),
        (b"key;truth\nq1;a\n", "has no column key and no truth, but key;truth"),
        (b"key,answer\nq1,a\n", "has no column truth, but key, answer"),
        (b"key,truth,key\nq1,a,b\n", "two columns key"),
        (b"key,truth\nq1,a\nq2,b,c\n", "line 3 has 3 cells for 2 columns"),
        (b"key,truth\nq1,a\nq2\n", "line 3 has 1 cells for 2 columns"),
        (b"key,truth\nq1,caf\xe9\n", r"line 2 is not UTF-8 \(byte 16\)"),
        (b'key,truth\nq1,"a\n', "is no CSV"),
        (b"key,truth\n,a\n", "line 2 has a truth and no key"),
        (b"key,truth,epoch\nq1,a,first\n", "line 2 has the epoch 'first'"),
        (b"key,truth\n" + b"k" * 5000 + b",a\n", "line 2: label.* got a key"),
        (b"key,truth\nq1," + b"a" * 2_000_000 + b"\n", "line 2 is no CSV: field larger"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    recording: pathlib.Path, tmp_path: pathlib.Path, text: bytes, said: str
) -> None:
    before = check(recording).to_data()
    with pytest.raises(ConfigError, match=said):
        label_file(recording, csv(tmp_path, text))
    assert check(recording).to_data() == before


def test_json_that_is_none(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for truth in ("yes", "[" * 100_000):
        with pytest.raises(ConfigError, match="line 2 has a truth that is no JSON"):
            label_file(recording, csv(tmp_path, f"key,truth\nq1,{truth}\n"), truth_as="json")
    with pytest.raises(ConfigError, match="text or json"):
        label_file(recording, csv(tmp_path, "key,truth\n"), truth_as="yaml")  # type: ignore[arg-type]


def test_a_huge_file_and_none(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigError, match="64 MiB: split it"):
        label_file(recording, huge)
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        label_file(recording, tmp_path / "none.csv")


def test_a_recording_that_is_being_written_is_left_to_its_writer(
    recording: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = csv(tmp_path, "key,truth\nq1,a\n")
    with RecordingWriter(recording, clock_ns=time.time_ns):
        with pytest.raises(LockedError, match=r"\(process \d+\): label through it, .*tcp://HOST:PORT"):
            label_file(recording, path)
        assert len(et.open(recording).labels()) == 0
    assert label_file(recording, path).labels == 1


def test_what_is_no_recording_does_not_become_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError):
        label_file(tmp_path / "empty", csv(tmp_path, "key,truth\nq1,a\n"))
    assert not any((tmp_path / "empty").iterdir())


def test_many_labels_take_several_batches(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = "".join(f"k{place},{'x' * 200}\n" for place in range(9000))
    done = label_file(recording, csv(tmp_path, "key,truth\n" + rows))
    assert (done.labels, len(done.unknown)) == (9000, 9000)
    assert str(done).endswith("k19 and 8980 more")
    assert len(et.open(recording).labels()) == 9000
    assert check(recording).ok


KEYS = st.one_of(st.sampled_from(["1", "2", "02", "-3", "q", "9" * 30]), st.text(max_size=3).filter(bool))


@given(st.lists(KEYS, max_size=30), st.sets(st.one_of(KEYS, st.integers(-4, 4))))
@settings(deadline=None)
def test_a_key_is_matched_as_it_stands_or_as_its_number(given_keys: list[str], items: set[Any]) -> None:
    """However the question is cut into pieces: the law is told key by key."""

    def unknown(targets: Any) -> list[dict[str, Any]]:
        return [{"place": place} for place, (key, _, _) in enumerate(targets) if (type(key), key) not in known]

    known = {(type(item), item) for item in items}
    rows = [Row(place, key, "t", None, None) for place, key in enumerate(given_keys)]
    found = match(rows, None, unknown)
    for row, label in zip(rows, found.labels, strict=True):
        numbers = [item for item in items if isinstance(item, int) and str(item) == row.key]
        assert label.key == (row.key if row.key in items or not numbers else numbers[0])
        assert (row.key in found.unknown) == (row.key not in items and not numbers)
