"""`embertrace export …` as people use it: each way out, and what it says where it can't."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

import embertrace as et
from embertrace.interop import arrow
from support.otlp_receiver import attributes, receiving


def export(*arguments: object, code: int = 0, **environment: str) -> str:
    """stdout of `embertrace export …`; stderr where it is to fail."""
    command = [sys.executable, "-m", "embertrace", "export", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@et.trace(type="member", stage="members")
def member(answer: str) -> str:
    return answer


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("export") / "rec"
    with et.session(directory, run="first", project="team-a", quiet=True):
        for key in ("q1", "q2"):
            with et.item(key), et.operator("panel", type="ensemble"):
                for answer in "ab":
                    member(answer)
    return directory


def test_spans_go_to_a_receiver_with_the_headers_that_were_named(recording: pathlib.Path) -> None:
    with receiving() as receiver:
        token = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc,x-team=a"}
        done = json.loads(export("otlp", recording, "--to", receiver.url, "--header", "x-team=b", "--json", **token))
    assert (done["spans"], done["rejected"], len(receiver.spans())) == (6, 0, 6)
    headers = {name.lower(): value for name, value in receiver.headers[0].items()}
    assert (headers["authorization"], headers["x-team"]) == ("Bearer abc", "b")
    (resource,) = receiver.resources()
    assert attributes(resource.resource)["openinference.project.name"] == "team-a"


def test_what_a_receiver_refuses_is_bad_news_and_what_is_not_there_an_error(recording: pathlib.Path) -> None:
    with receiving((400, {}, b"no spans today")) as receiver:
        assert "no spans today" in export("otlp", recording, "--to", receiver.url, code=1)
    with receiving((401, {}, b"")) as receiver:
        assert "check the address and the headers" in export("otlp", recording, "--to", receiver.url, code=2)
    assert "'localhost' is no address" in export("otlp", recording, "--to", "localhost", code=2)
    assert "--header is 'abc'" in export("otlp", recording, "--to", "http://h", "--header", "abc", code=2)


def test_a_chrome_trace_and_parquet_are_written(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "6 slices" in export("chrome", recording, "-o", tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert "6 calls" in export("parquet", recording, "-o", tmp_path / "out")
    assert len(arrow.read(tmp_path / "out").calls) == 6
    (one,) = json.loads(export("parquet", recording, "-o", tmp_path / "e.parquet", "--table", "events", "--json"))
    assert one["table"] == "events" and one["rows"] >= 12


def test_what_can_not_be_written_is_said(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "no table 'spans'" in export("parquet", recording, "-o", tmp_path, "--table", "spans", code=2)
    assert "can't be written" in export("chrome", recording, "-o", tmp_path / "no" / "trace.json", code=2)
    assert "no recording" in export("chrome", tmp_path / "none", "-o", tmp_path / "x.json", code=2)
