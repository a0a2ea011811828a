"""What a doctor says of given facts: how bad, and what to do. No process, no socket, no file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from embertrace import __version__
from embertrace.config import Settings
from embertrace.doctor import Finding, diagnose
from embertrace.doctor.facts import Aggregator, Facts, Installed, Spools, Unknown
from embertrace.doctor.findings import Diagnosis, many, size, span
from embertrace.doctor.here import is_within
from embertrace.emit.adopter import KEEP_S
from embertrace.emit.spool_directory import Meta
from embertrace.emit.survey import Stream
from embertrace.wire.batch import VERSION
from embertrace.wire.control import Loss, State, Welcome

NOW = 1_700_000_000.0
NOW_NS = int(NOW * 1e9)
ENDPOINT, OTHER = "tcp://127.0.0.1:5557", "tcp://127.0.0.1:7777"
STATE = State(
    "rec", "monday", __version__, 42, NOW_NS - 60 * 10**9, NOW_NS, NOW_NS - 3 * 10**9, 4096,
    {"events": 1203, "connected": 2, "producers": 5}, 100 << 30,
)  # fmt: skip
INFO = {"directory": "/runs/monday", "position": 4096, "events": 1203, "producers": 5, "gaps": 0, "undecodable": 0}
WELCOME = Welcome("rec", "monday", 0, 5558, 5559)
AGGREGATOR = Aggregator(ENDPOINT, "given", None, WELCOME, STATE, INFO)
META = Meta(ENDPOINT, None, "rec", uid=1000, pid=7, host="here", created=NOW - 7200.0)
DEAD = Stream("d" * 32, "dead", META, 1 << 20, 17)
SPOOLS = Spools(Path("/spools"), True, None, 100 << 30)
INSTALLED = Installed(
    {"embertrace": __version__, "python": "3.12.1", "pyzmq": "27.1.0", "msgpack": "1.1.0", "numpy": "2.1"},
    {"python": ">=3.11", "pyzmq": ">=26", "msgpack": "<2,>=1.1", "numpy": ">=1.26", "ray": ">=2.40"},
)
HEALTHY = Facts(NOW, 1000, "here", INSTALLED, Settings(endpoint=ENDPOINT), None, (), SPOOLS, AGGREGATOR)


def found(**changed: Any) -> list[Finding]:
    """The findings that are not ok, where these facts differ from the healthy ones."""
    diagnosis = diagnose(dataclasses.replace(HEALTHY, **changed))
    return [finding for finding in diagnosis.findings if finding.severity != "ok"]


def the_one(**changed: Any) -> Finding:
    (finding,) = found(**changed)
    return finding


def of_state(**changed: Any) -> Finding:
    return the_one(aggregator=dataclasses.replace(AGGREGATOR, state=dataclasses.replace(STATE, **changed)))


def holding(*streams: Stream) -> Spools:
    return dataclasses.replace(SPOOLS, streams=streams)


def meant(**changed: Any) -> Stream:
    """A dead process's stream with another meta."""
    return dataclasses.replace(DEAD, meta=dataclasses.replace(META, **changed))


ABSENT = Aggregator(ENDPOINT, "given", Unknown("nothing listens there"), *[Unknown("not asked")] * 3)  # type: ignore[arg-type]


def test_a_healthy_place_is_said_to_be_so() -> None:
    diagnosis = diagnose(HEALTHY)
    assert diagnosis.ok
    assert {finding.severity for finding in diagnosis.findings} == {"ok"}
    text = str(diagnosis)
    assert "up 60 s: 2 producers connected of 5, 1,203 events since it started, the last 3 s ago" in text
    assert "→" not in text


def test_lines_are_aligned_and_what_to_do_stands_below() -> None:
    text = str(Diagnosis((Finding("ok", "ray", "fine"), Finding("bad", "spools", "full\x1b[2J\n", "empty it"))))
    assert text.splitlines() == [
        "ok    ray     fine",
        "bad   spools  full\\x1b[2J\\n",
        "              → empty it",
    ]


def test_a_warning_is_no_failure_and_bad_news_is() -> None:
    assert Diagnosis((Finding("warn", "a", "b"),)).ok
    assert not Diagnosis((Finding("bad", "a", "b"),)).ok
    assert Diagnosis(()).to_data() == {"ok": True, "findings": []}


# Versions and settings


@pytest.mark.parametrize(
    ("version", "wanted", "is_in"),
    [
        ("1.1", ">=1.1,<2", True),
        ("1.1.0", "==1.1", True),
        ("2.0.0", "<2,>=1.1", False),
        ("26", ">=26.0.1", False),
        ("27.0.0rc1", ">=27", True),
        ("1.10", ">=1.9", True),
        ("unknown", ">=1", True),
        ("1.0", "~=1.0", True),
        ("1.0", "", True),
    ],
)
def test_ranges(version: str, wanted: str, is_in: bool) -> None:
    assert is_within(version, wanted) is is_in


def test_a_package_out_of_its_range_or_missing_is_bad() -> None:
    versions = {**INSTALLED.versions, "pyzmq": "25.1.2"}
    finding = the_one(installed=dataclasses.replace(INSTALLED, versions=versions))
    assert (finding.severity, finding.todo) == ("bad", "pip install 'pyzmq>=26'")
    del versions["pyzmq"]
    assert "pyzmq is not installed" in the_one(installed=dataclasses.replace(INSTALLED, versions=versions)).what
    assert found(installed=Installed({}, {})) == []


def test_an_old_ray_is_bad_and_none_is_not() -> None:
    old = {**INSTALLED.versions, "ray": "2.9.0"}
    assert the_one(installed=dataclasses.replace(INSTALLED, versions=old)).severity == "bad"
    diagnosis = diagnose(dataclasses.replace(HEALTHY, installed=dataclasses.replace(INSTALLED, ray="running")))
    assert Finding("ok", "ray", "running") in diagnosis.findings


def test_settings_that_can_not_be_used_are_bad() -> None:
    finding = the_one(settings=Unknown("EMBERTRACE_LINGER_S is 'long'; it must be a number"))
    assert (finding.severity, finding.where) == ("bad", "settings")
    assert "'long'" in finding.what
    assert the_one(key=Unknown("the key k can't be read", refused=True)).severity == "bad"


def test_a_misspelt_variable_is_pointed_out() -> None:
    finding = the_one(strangers=("EMBERTRACE_ENDPONT",))
    assert (finding.severity, finding.todo) == ("warn", "did you mean EMBERTRACE_ENDPOINT?")


# Spools


def test_spools_that_can_not_work_are_bad() -> None:
    assert the_one(spools=dataclasses.replace(SPOOLS, fault="not supported")).severity == "bad"
    assert the_one(spools=Unknown("nothing came back within 5 s")).severity == "bad"
    assert found(spools=None) == []
    assert found(spools=dataclasses.replace(SPOOLS, exists=False)) == []


@pytest.mark.parametrize(("free", "severity"), [(10 << 20, "warn"), (1 << 20, "bad")])
def test_a_full_disk_is_said(free: int, severity: str) -> None:
    assert the_one(spools=dataclasses.replace(SPOOLS, free_bytes=free)).severity == severity


@pytest.mark.parametrize(("taken", "severity"), [(900 << 20, "warn"), (1 << 30, "bad")])
def test_a_full_directory_is_said(taken: int, severity: str) -> None:
    stream = dataclasses.replace(DEAD, owner="alive", bytes=taken)
    finding = the_one(spools=holding(stream))
    assert finding.severity == severity
    assert "EMBERTRACE_SPOOL_NODE_BYTES" in (finding.todo or "")


def test_what_the_dead_left_is_counted_once_for_all_that_share_a_fate() -> None:
    streams = tuple(dataclasses.replace(DEAD, producer=f"{n:032}") for n in range(3))
    finding = the_one(spools=holding(*streams))
    assert finding == Finding(
        "warn",
        "spools",
        f"left by dead processes: 3 streams (up to 51 events, 3.0 MiB) to {ENDPOINT} (recording rec), 2.0 h old",
        "`embertrace drain` delivers them now",
    )


@pytest.mark.parametrize(
    ("meta", "todo"),
    [
        ({"recording": None}, "`embertrace drain` delivers them now"),
        ({"endpoint": OTHER}, f"`embertrace drain --to {ENDPOINT}` delivers them now"),
        ({"recording": "another"}, "it records rec now"),
        ({"endpoint": OTHER, "recording": None}, f"start an aggregator at {OTHER}"),
        ({"endpoint": OTHER, "recording": "another"}, "start their recording's aggregator again"),
        ({"host": "elsewhere"}, "on elsewhere"),
        ({"key": "team"}, "they go with the key 'team'"),
        ({"key": "embedded-0123"}, "`embertrace drain --to` it"),
    ],
)
def test_how_to_deliver_them_depends_on_who_answers(meta: dict[str, Any], todo: str) -> None:
    assert todo in (the_one(spools=holding(meant(**meta))).todo or "")


def test_with_nobody_there_an_aggregator_is_started_first() -> None:
    left, _ = found(spools=holding(DEAD), aggregator=ABSENT)
    assert "start their recording's aggregator again" in (left.todo or "")


def test_a_stream_goes_under_its_own_key() -> None:
    assert "delivers them now" in (the_one(spools=holding(meant(key="team")), key="team").todo or "")
    assert "unset" in (the_one(spools=holding(DEAD), key="team").todo or "")


def test_streams_that_are_about_to_be_deleted_are_bad() -> None:
    orphaned = dataclasses.replace(DEAD, orphaned=NOW - KEEP_S + 3600)
    finding = the_one(spools=holding(orphaned))
    assert finding.severity == "bad"
    assert "deleted in 60 min" in finding.what
    assert the_one(spools=holding(dataclasses.replace(DEAD, orphaned=NOW - 3600))).severity == "warn"


def test_of_many_fates_the_largest_are_told() -> None:
    streams = [dataclasses.replace(meant(endpoint=f"tcp://h:{n}"), bytes=n << 20) for n in range(1, 101)]
    *told, rest = found(spools=holding(*streams), settings=Settings(spool_node_bytes=1 << 40))
    assert len(told) == 20
    assert "tcp://h:100 " in told[0].what
    assert "and 80 streams more" in rest.what


def test_a_stream_whose_meta_can_not_be_read_is_still_listed() -> None:
    unread = dataclasses.replace(DEAD, meta=None, events=None)
    finding = the_one(spools=holding(unread))
    assert "an unknown endpoint" in finding.what
    assert "drain --to" in (finding.todo or "")


def test_the_living_deliver_their_own() -> None:
    living = dataclasses.replace(DEAD, owner="alive", events=None)
    assert found(spools=holding(living)) == []
    waiting, absent = found(spools=holding(living), aggregator=ABSENT)
    assert (waiting.severity, absent.severity) == ("warn", "bad")
    assert "waiting for an aggregator" in waiting.what


def test_streams_of_another_user_are_theirs_to_look_at() -> None:
    assert "user 1000" in (the_one(spools=holding(dataclasses.replace(DEAD, owner="unknown"))).todo or "")


# Aggregator


def test_an_aggregator_that_was_named_and_is_absent_is_bad() -> None:
    finding = the_one(aggregator=ABSENT)
    assert (finding.severity, finding.where) == ("bad", "aggregator")
    assert "nothing listens there" in finding.what
    assert f"--bind {ENDPOINT}" in (finding.todo or "")


def test_where_none_was_named_none_need_be() -> None:
    finding = the_one(aggregator=dataclasses.replace(ABSENT, origin="usual"))
    assert finding.severity == "warn"
    assert "embertrace aggregate" in (finding.todo or "")


def test_a_refused_key_is_told_from_an_absent_aggregator() -> None:
    refused = dataclasses.replace(ABSENT, door=None, welcome=Unknown("the aggregator refused this key", refused=True))
    finding = the_one(aggregator=refused)
    assert finding.severity == "bad"
    assert "EMBERTRACE_KEY" in (finding.todo or "")


def test_an_endpoint_that_is_none_is_bad() -> None:
    assert the_one(aggregator=Unknown("endpoint is 'x'")).severity == "bad"


def test_versions_that_differ() -> None:
    assert of_state(library="0.0.9").severity == "warn"
    welcome = dataclasses.replace(WELCOME, version=VERSION + 1)
    assert the_one(aggregator=dataclasses.replace(AGGREGATOR, welcome=welcome)).severity == "bad"


def test_an_aggregator_that_does_not_tell_its_state_is_older() -> None:
    finding = the_one(aggregator=dataclasses.replace(AGGREGATOR, state=Unknown("no aggregator answered")))
    assert finding.severity == "warn"
    assert "update" in (finding.todo or "")


def test_a_door_that_is_shut_is_named() -> None:
    finding = the_one(aggregator=dataclasses.replace(AGGREGATOR, push=Unknown("timed out")))
    assert finding.severity == "bad"
    assert "port 5558" in finding.what
    shut = dataclasses.replace(AGGREGATOR, rpc=Unknown("timed out"), info=Unknown("timed out"))
    assert [finding.where for finding in found(aggregator=shut)] == ["aggregator", "analyst"]


@pytest.mark.parametrize(
    "counter", ["refused", "malformed", "silent", "gaps", "otlp_refused", "otlp_given_up", "otlp_unfinished"]
)
def test_each_counter_of_bad_news_has_its_line(counter: str) -> None:
    finding = of_state(counters={**STATE.counters, counter: 2})
    assert finding.severity == "warn"
    assert "2 " in finding.what
    assert finding.todo


def test_a_receiver_of_spans_that_takes_none_is_said() -> None:
    counters = {**STATE.counters, "otlp_failing": 1, "otlp_behind_bytes": 2048}
    finding = of_state(counters=counters)
    assert (finding.severity, finding.where) == ("warn", "OTLP export") and "2.0 KiB" in finding.what.replace(
        "kB", "KiB"
    )


def test_counters_that_are_none_of_ours_do_no_harm() -> None:
    assert (
        found(aggregator=dataclasses.replace(AGGREGATOR, state=dataclasses.replace(STATE, counters={"new": 3}))) == []
    )


def test_who_lost_events_is_named() -> None:
    total, producer = found(
        aggregator=dataclasses.replace(
            AGGREGATOR,
            state=dataclasses.replace(
                STATE, counters={**STATE.counters, "gaps": 3}, losses=(Loss(b"p" * 16, 3, "host-a", 9),)
            ),
        )
    )
    assert "3 events were dropped" in total.what
    assert producer.what == f"process 9 on host-a ({(b'p' * 16).hex()}) lost 3 events"


@pytest.mark.parametrize(("free", "severity"), [(1 << 29, "warn"), (1 << 20, "bad"), (None, "bad")])
def test_a_recording_out_of_space(free: int | None, severity: str) -> None:
    assert of_state(free_bytes=free).severity == severity


def test_an_analyst_that_is_behind_or_silent_is_said() -> None:
    assert "100.0 MiB behind" in of_state(durable=4096 + (100 << 20)).what
    assert found(aggregator=dataclasses.replace(AGGREGATOR, state=dataclasses.replace(STATE, durable=5000))) == []
    silent = the_one(aggregator=dataclasses.replace(AGGREGATOR, info=Unknown("it did not answer info in 2 s")))
    assert (silent.severity, silent.where) == ("bad", "analyst")


def test_what_is_missing_from_the_recording_is_said() -> None:
    gaps, unread = found(aggregator=dataclasses.replace(AGGREGATOR, info={**INFO, "gaps": 4, "undecodable": 1}))
    assert gaps.what == "4 events of this recording were lost for good"
    assert unread.what == "1 event can't be read"
    assert found(aggregator=dataclasses.replace(AGGREGATOR, info={"position": "odd"}, state=STATE)) == []


def test_quantities_in_words() -> None:
    assert [size(count) for count in (0, 1023, 1024, 3 << 20, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.0 MiB",
        "5.0 TiB",
    ]
    assert [span(s) for s in (-1, 3, 300, 9000, 4 * 86400)] == ["0 s", "3 s", "5 min", "2.5 h", "4.0 days"]
    assert [many(count, "stream") for count in (0, 1, 1203)] == ["0 streams", "1 stream", "1,203 streams"]
