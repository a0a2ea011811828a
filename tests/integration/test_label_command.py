"""`embertrace label` as people use it: on a recording, while an aggregator writes it, and to that aggregator."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import embertrace as et


def embertrace(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-c", "from embertrace.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def test_labels_reach_the_recording_whoever_writes_it(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("key,truth\nq1,a\n7,a\nnope,a\n")
    second.write_text("key,truth\nq1,b\n")
    with et.session(tmp_path / "rec", quiet=True) as session:
        for key in ("q1", 7):
            with et.item(key), et.operator("chooser", type="judge") as op:
                op.result("a")
        session.settle(10)
        refused = embertrace("label", tmp_path / "rec", first, code=2)
        assert "label through it" in refused and "tcp://HOST:PORT" in refused
        told = json.loads(embertrace("label", session.endpoint, first, "--by", "human:ann", "--json"))
        assert told == {"labels": 3, "without_truth": 0, "repeated": 0, "unknown": ["nope"]}
        deadline = time.monotonic() + 20
        live = et.connect(session.endpoint)
        while len(live.labels()) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert live.judge_accuracy() == 1
        assert [row["known"] for row in live.labels()] == [True, True, False]
        many = tmp_path / "many.csv"  # more keys than one request holds
        many.write_text("key,truth\n" + "".join(f"{'k' * 60}{place},a\n" for place in range(3000)) + "q1,a\n")
        told = json.loads(embertrace("label", session.endpoint, many, "--by", "human:bob", "--json"))
        assert (told["labels"], len(told["unknown"])) == (3001, 3000)
    text = embertrace("label", tmp_path / "rec", second, "--by", "human:ann")
    assert text == "1 labels written\n"
    assert et.open(tmp_path / "rec").judge_accuracy() == 0.5
    assert next(iter(et.open(tmp_path / "rec").labels(by="human:ann")))["status"] == "replaced"


def test_nobody_at_the_endpoint(tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.csv").write_text("key,truth\nq1,a\n")
    said = embertrace("label", "tcp://127.0.0.1:1", tmp_path / "labels.csv", code=2)
    assert "no aggregator answered at tcp://127.0.0.1:1" in said
