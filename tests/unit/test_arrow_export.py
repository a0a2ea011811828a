"""Arrow tables and Parquet files: what they hold, that they come back, what is refused."""

from __future__ import annotations

import json
import pathlib

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

import embertrace as et
from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.errors import ExportError, QueryError, RecordingError, VersionError
from embertrace.interop import arrow, tables
from support.forests import Story


def told() -> OperatorAnalysis:
    story = Story(run="r1")
    story.describe_run("r1", name="nightly")
    for key, answers, verdict in (("q1", "aab", "a"), ("q2", "abb", "a"), (3, "ccc", "c")):
        story.question(key, answers, verdict, truth="a")
    failed = story.begin("odd", args=["\ud800", b"\xff", 2**70, float("nan"), {(1, 2): {3}}])
    story.score(failed, accuracy=0.5)
    story.end(failed, error="ValueError")
    story.label("q2", "b", by="human:ann")
    return OperatorAnalysis(LocalSource(story.forest()))


def test_calls_are_rows_with_the_documented_columns() -> None:
    table = arrow.calls(told())
    assert table.column_names == [column.name for column in tables.CALLS] and table.num_rows == 19
    judged = [row for row in table.to_pylist() if row["operator_type"] == "judge"]
    assert [(row["item_key"], row["answer"], row["truth"]) for row in judged] == [
        ("q1", "a", "a"),
        ("q2", "a", "b"),
        ("3", "c", "a"),
    ]
    odd = next(row for row in table.to_pylist() if row["operator_id"] == "odd")
    assert odd["error_type"] == "ValueError" and json.loads(odd["scores"]) == {"accuracy": 0.5}
    assert json.loads(odd["args"])[:2] == ["?", "ff"] and odd["outcome"] == "error" and odd["selected"]


def test_frames_of_an_analysis_have_some_of_the_same_columns() -> None:
    analysis = told()
    for view, whole in ((analysis.calls, arrow.calls(analysis)), (analysis.events, arrow.events(analysis))):
        frame = view.to_arrow()
        names = frame.column_names
        assert set(names) < set(whole.column_names)
        exact = [name for name in names if name not in ("time", "duration_ns")]  # floats in what users see of events
        assert whole.select(exact).cast(frame.select(exact).schema).to_pylist() == frame.select(exact).to_pylist()
        assert whole.schema.field("duration_ns").type == frame.schema.field("duration_ns").type


def test_nothing_is_tables_without_rows(tmp_path: pathlib.Path) -> None:
    nothing = OperatorAnalysis([])
    assert arrow.calls(nothing).num_rows == arrow.events(nothing).num_rows == 0
    assert [done.rows for done in arrow.write(nothing, tmp_path)] == [0, 0]
    assert len(arrow.read(tmp_path).calls) == 0


def test_what_is_written_comes_back_with_the_same_answers(tmp_path: pathlib.Path) -> None:
    analysis = told()
    written = arrow.write(analysis, tmp_path / "out")
    assert [done.path.name for done in written] == ["calls.parquet", "events.parquet"]
    assert "19 calls" in str(written[0])
    again = arrow.read(tmp_path / "out")
    assert [repr(call) for call in again.calls] == [repr(call) for call in analysis.calls]
    for verb in ("ensemble_disagreement", "judge_accuracy_by_agreement", "items", "runs", "costs", "incidents"):
        if hasattr(analysis, verb):
            assert repr(getattr(again, verb)()) == repr(getattr(analysis, verb)()), verb
    assert arrow.events(again).equals(arrow.events(analysis))


def test_events_of_traced_operators_come_back(tmp_path: pathlib.Path) -> None:
    @et.trace(type="member")
    def member(value: object) -> object:
        return value

    with et.collect_events() as events, et.item("q", truth=1), et.operator("panel", type="ensemble"):
        for value in (1, (1, 2), {"a": b"\x00"}, object()):
            member(value)
    analysis = et.OperatorAnalysis(events)
    arrow.write(analysis, tmp_path / "e.parquet", table="events")
    again = arrow.read(tmp_path / "e.parquet")
    assert [(call.args, call.result) for call in again.calls] == [(call.args, call.result) for call in analysis.calls]


def test_filters_narrow_both_tables() -> None:
    narrowed = told().stage("judge_1")
    assert arrow.calls(narrowed).num_rows == 3
    kinds = arrow.events(narrowed).column("event_type").to_pylist()
    assert kinds.count("call") == kinds.count("result") == 3 and "error" not in kinds


def test_pandas_polars_and_duckdb_read_the_same(tmp_path: pathlib.Path) -> None:
    arrow.write(told(), tmp_path / "calls.parquet")
    asked = "select avg((answer = truth)::int) from calls where operator_type = 'judge'"
    calls = arrow.calls(told())
    by_duckdb = duckdb.sql(asked).fetchall()[0][0]
    from_file = duckdb.sql(asked.replace("calls", f"'{tmp_path}/calls.parquet'")).fetchall()[0][0]
    frame = polars.read_parquet(tmp_path / "calls.parquet").filter(polars.col("operator_type") == "judge")
    by_polars = frame.select((polars.col("answer") == polars.col("truth")).mean()).item()
    judged = calls.to_pandas().query("operator_type == 'judge'")
    assert by_duckdb == from_file == by_polars == (judged["answer"] == judged["truth"]).mean() == pytest.approx(1 / 3)


def test_large_tables_are_written_in_portions(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "PORTION", 4)
    (done,) = arrow.write(told(), tmp_path / "calls.parquet")
    assert done.rows == 19 and pyarrow.parquet.ParquetFile(done.path).num_row_groups == 5
    assert arrow.read_table(done.path, "calls").equals(arrow.calls(told()))


def rewritten(path: pathlib.Path, metadata: dict[bytes, bytes]) -> None:
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)


def test_a_newer_schema_is_refused_in_one_sentence(tmp_path: pathlib.Path) -> None:
    arrow.write(told(), tmp_path)
    path = tmp_path / "events.parquet"
    rewritten(path, {arrow.TABLE_KEY: b"events", arrow.VERSION_KEY: b"2"})
    with pytest.raises(VersionError, match="events of schema version 2; this embertrace reads up to 1"):
        arrow.read(tmp_path)
    with pytest.raises(VersionError):
        arrow.read_table(path, "events")


@pytest.mark.parametrize("metadata", [{}, {b"embertrace.table": b"events"}, {b"embertrace.table": b"\xff"}])
def test_foreign_parquet_is_refused(tmp_path: pathlib.Path, metadata: dict[bytes, bytes]) -> None:
    arrow.write(told(), tmp_path)
    rewritten(tmp_path / "events.parquet", metadata)
    with pytest.raises(RecordingError, match="holds no embertrace events"):
        arrow.read(tmp_path)


def test_damaged_files_and_tables_that_are_not_events_are_refused(tmp_path: pathlib.Path) -> None:
    arrow.write(told(), tmp_path)
    with pytest.raises(RecordingError, match="no embertrace events"):
        arrow.read(tmp_path / "calls.parquet")
    whole = (tmp_path / "events.parquet").read_bytes()
    (tmp_path / "events.parquet").write_bytes(whole[:-20])
    with pytest.raises(RecordingError, match="can't be read as Parquet"):
        arrow.read(tmp_path)
    with pytest.raises(RecordingError, match="can't be read"):
        arrow.read(tmp_path / "nowhere.parquet")


def test_events_nobody_can_decode_are_counted(tmp_path: pathlib.Path) -> None:
    arrow.write(told(), tmp_path)
    path = tmp_path / "events.parquet"
    table = pyarrow.parquet.read_table(path)
    place = table.column_names.index("packed")
    packed = [b"\xc1", *table.column("packed").to_pylist()[1:]]
    broken = table.set_column(place, table.field(place), pyarrow.array(packed, pyarrow.binary()))
    pyarrow.parquet.write_table(broken, path)
    assert arrow.read(path).selection().forest.undecodable == 1


def test_an_unwritable_place_is_said_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        arrow.write(told(), tmp_path / "file" / "below")
    arrow.write(told(), tmp_path / "calls.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.parquet", "file"]


def test_only_two_tables_exist() -> None:
    with pytest.raises(QueryError, match="no table 'spans'"):
        tables.rows(told(), "spans")  # type: ignore[arg-type]
