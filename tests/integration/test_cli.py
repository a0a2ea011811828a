"""The command line as people use it: one small recording, each command, each bad input."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

import embertrace as et


def embertrace(*arguments: object, code: int = 0) -> str:
    """stdout of `embertrace …`; stderr where it is to fail."""
    command = [sys.executable, "-m", "embertrace", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@et.trace(type="member", stage="members")
def member(question: str, answer: str) -> str:
    return answer


@et.trace(type="judge", stage="judge_1")
def judge(question: str, answers: list[str]) -> str:
    return max(sorted(answers), key=answers.count)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("cli") / "rec"
    with et.session(directory, run="first", quiet=True):
        for key, answers in {"q1": "aaa", "q2": "aab", "3": "abb"}.items():
            with et.item(key, truth="a"):
                with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
                    found = [member(key, answer) for answer in answers]
                    panel.result(found)
                judge(key, found)
    return directory


def test_report(recording: pathlib.Path) -> None:
    text = embertrace("report", recording)
    assert "judge accuracy 0.6667" in " ".join(text.split())
    assert "3/3" in text
    assert "\x1b" not in text
    data = json.loads(embertrace("report", recording, "--json"))
    assert data["Judge judge_1"]["judge accuracy"]["value"] == pytest.approx(2 / 3)


def test_report_and_comparison_as_pages(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert embertrace("report", recording, "--html", tmp_path / "run.html") == ""
    assert "0.6667" in (tmp_path / "run.html").read_text(encoding="utf-8")
    embertrace("compare", recording, recording, "--html", tmp_path / "both.html")
    assert "first → first" in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_show(recording: pathlib.Path) -> None:
    text = embertrace("show", recording, "q2")
    assert text.count("member") >= 3
    assert json.loads(embertrace("show", recording, "3", "--json"))["rows"]
    assert "no item 'nope'" in embertrace("show", recording, "nope", code=2)


def test_show_of_every_attempt(tmp_path: pathlib.Path) -> None:
    """A call that failed, was tried again, and came through."""
    with et.session(tmp_path / "rec", quiet=True) as session:
        for attempt, end, data in ((0, "error", {"error": {"type": "OSError"}}), (1, "result", {"result": "a"})):
            for event_type in ("call", end):
                event = et.OperatorEvent(
                    operator_id="flaky",
                    event_type=event_type,
                    call_id="7" * 16,
                    attempt=attempt,
                    context={"item": {"key": "q1"}},
                    data={} if event_type == "call" else data,
                )
                et.EventCollector.emit(event)
        session.settle(10)
        lived = embertrace("show", session.endpoint, "q1", "--attempts", "all", "--json")
    selected = embertrace("show", tmp_path / "rec", "q1")
    assert (selected.count("flaky"), selected.count("answer=a"), selected.count("OSError")) == (1, 1, 0)
    every = embertrace("show", tmp_path / "rec", "q1", "--attempts", "all")
    assert [line.split()[0] for line in every.splitlines()] == ["flaky", "flaky"]
    assert ["attempt=1" in line for line in every.splitlines()] == [False, True]
    rows = json.loads(embertrace("show", tmp_path / "rec", "q1", "--attempts", "all", "--json"))["rows"]
    assert [(row["attempt"], row["outcome"]) for row in rows] == [(0, "error"), (1, "result")]
    assert rows == json.loads(lived)["rows"]
    said = embertrace("show", tmp_path / "rec", "q1", "--attempts", "some", code=2)
    assert "attempts='some' is none of selected, all" in said


def test_flow(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert embertrace("flow", recording).startswith("digraph")
    embertrace("flow", recording, "-o", tmp_path / "flow.svg")
    assert "<svg" in (tmp_path / "flow.svg").read_text()
    assert ".svg, .dot or .mmd" in embertrace("flow", recording, "-o", tmp_path / "flow.png", code=2)


def test_check(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert json.loads(embertrace("check", recording, "--json"))["batches"] > 0
    torn = tmp_path / "torn"
    (torn / "segments").mkdir(parents=True)
    (torn / "recording.json").write_bytes((recording / "recording.json").read_bytes())
    for segment in (recording / "segments").iterdir():
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        (torn / "segments" / segment.name).write_bytes(data)
    assert "damage" in embertrace("check", torn, code=1).lower()
    said = embertrace("check", torn, "--repair", tmp_path / "mended", code=1)
    assert "a repaired copy with" in said and "everything is there and readable" in said
    data = json.loads(embertrace("check", torn, "--repair", tmp_path / "again", "--json", code=1))
    assert (data["ok"], data["repair"]["check"]["ok"]) == (False, True)
    assert data["repair"]["left_out_bytes"] == data["damaged_bytes"] > 0
    assert json.loads(embertrace("check", tmp_path / "mended", "--json"))["ok"]


def test_pack(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = shutil.copytree(recording, tmp_path / "copy")
    before = embertrace("report", copy, "--json")
    told = json.loads(embertrace("pack", copy, "--json"))
    assert told["packed"] == 1
    assert told["bytes_after"] < told["bytes_before"]
    assert "0 segments packed" in embertrace("pack", copy)
    assert "everything is there and readable" in embertrace("check", copy)
    assert embertrace("report", copy, "--json") == before


def test_replay_and_report_of_an_aggregator(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "other", run="own", quiet=True) as session:
        first = embertrace("replay", recording, "--to", session.endpoint, "--speed", "max")
        again = json.loads(embertrace("replay", recording, "--to", session.endpoint, "--speed", "max", "--json"))
        embertrace("replay", recording, "--to", session.endpoint, "--speed", "max", "--as", "second", "--retime", "now")
        reports = [embertrace("report", session.endpoint, "--run", run, "--json") for run in ("first", "second")]
        pooled = embertrace("report", session.endpoint, code=2)
    assert "events replayed" in first
    assert (again["events"], again["already_there"]) == (0, int(first.split()[0]))
    answers = [json.loads(report)["Judge judge_1"] for report in reports]
    assert answers[0] == answers[1] == json.loads(embertrace("report", recording, "--json"))["Judge judge_1"]
    assert "runs are in question" in pooled
    assert "Traceback" not in pooled


def test_a_run_that_is_not_there_is_named_with_those_that_are(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.csv").write_text("key,truth\nq1,a\n")
    before = embertrace("check", recording)
    for arguments in (
        ["report", recording, "--run", "nope"],
        ["flow", recording, "--run", "nope"],
        ["compare", recording, recording, "--other-run", "nope"],
        ["label", recording, tmp_path / "labels.csv", "--run", "nope"],
    ):
        said = embertrace(*arguments, code=2)
        assert said.count("\n") == 1 and "there is no run 'nope'; there are" in said and "(first)" in said
    assert embertrace("check", recording) == before
    assert "there is no stage 'nope'; there are" in embertrace("compare", recording, recording, "--stage", "nope")


def test_version_and_help() -> None:
    assert json.loads(embertrace("version", "--json"))["embertrace"] == et.__version__
    text = embertrace("--help")
    for command in ("aggregate", "demo", "report", "show", "replay", "flow", "check", "doctor", "version"):
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "/nowhere/at/all"], "no recording"),
        (["check", "/nowhere/at/all"], "no recording"),
        (["report", "tcp://127.0.0.1:1"], "is it running"),
        (["report", "tcp://nonsense"], "tcp://127.0.0.1:5557"),
        (["replay", "/nowhere/at/all", "--to", "tcp://127.0.0.1:1"], "no recording"),
        (["aggregate", "/nowhere", "--bind", "tcp://0.0.0.0:5557"], "beyond this machine"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], says: str) -> None:
    said = embertrace(*arguments, code=2)
    assert says in said
    assert "Traceback" not in said


def test_who_stops_the_command_stops_the_aggregator(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "embertrace", "aggregate", str(tmp_path / "rec"), "--bind", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "embertrace aggregator at tcp://127.0.0.1:" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.read()  # ends where nobody holds it open any more
    with et.session(tmp_path / "rec", quiet=True):
        pass  # nobody writes it any more


def test_a_bad_speed_says_what_is_allowed(recording: pathlib.Path) -> None:
    said = embertrace("replay", recording, "--to", "tcp://127.0.0.1:1", "--speed", "fast", code=2)
    assert "positive number" in said
