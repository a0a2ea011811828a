"""The HTTP door of a running aggregator: the same answers as over RPC, in pages, in other formats, and as they come."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow.ipc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from embertrace.analysis.verbs import VERBS
from embertrace.client import Client
from embertrace.emit import Emitter, emitter_for
from embertrace.wire.event import pack_event
from support.aggregators import aggregator
from support.forests import Story
from support.http_client import Http, in_path

OPTIONS: dict[str, dict[str, Any]] = {
    "item": {"key": "q3"},
    "failures": {"outcome": "error"},
    "cohen_kappa": {"a": "m0", "b": "m1"},
    "groups": {"by": "stage"},
    "explain": {"question": "judge_lift"},
    "unknown_items": {"targets": [["q3", None, None]]},
}
RUNS = ("monday", "tuesday")
QUESTIONS = 12


class Served(NamedTuple):
    http: Http
    client: Client
    ready: dict[str, Any]

    def events(self) -> int:
        return int(self.client.call("info")["events"])


def told(run: str, first_id: int, verdict: str) -> Story:
    """A run of a dozen questions, of which a third was answered wrong, and one call raised."""
    story = Story(run, run=run, first_id=first_id)
    story.describe_run(run, name=run, status="running", config={"verdict": verdict})
    for place in range(QUESTIONS):
        answers = ["A", "A", "B" if place % 3 else "A"]
        story.question(f"q{place}", answers, verdict="A" if place % 3 else verdict, truth="A")
    story.ensemble(["A", ValueError], item={"key": "q/../ü", "truth": "A"})
    story.describe_run(run, status="finished")
    return story


def emit(endpoint: str, *stories: Story) -> Emitter:
    """Everything that the stories tell is recorded and acknowledged when this returns."""
    emitter = emitter_for(endpoint)
    for story in stories:
        for _, _, event in story.events:
            emitter.put(pack_event(event))
    assert emitter.flush(30)
    return emitter


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with aggregator(tmp_path_factory.mktemp("web") / "rec") as (ready, _):
        stories = [told(run, 1 + 1000 * place, "AB"[place]) for place, run in enumerate(RUNS)]
        emitter = emit(ready["endpoint"], *stories)
        with Client(ready["endpoint"]) as client:
            here = Served(Http(ready["http_port"]), client, ready)
            while here.events() < sum(len(story.events) for story in stories):
                pass
            yield here
        emitter.close(10)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda raw: raw.hex()))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_question_has_the_answer_that_it_has_over_rpc(served: Served, verb: str) -> None:
    options = OPTIONS.get(verb, {})
    for filters, parameters in (
        ([["run", "monday"]], {"run": "monday"}),
        ([["run", "tuesday"], ["stage", "ensemble_1"]], {"run": "tuesday", "stage": "ensemble_1"}),
    ):
        asked = {"verb": verb, "filters": filters, "options": options}
        expected = as_json(served.client.call("query", **asked))
        assert served.http.post("/v1/query", asked).json == expected
        assert served.http.get(f"/v1/query/{verb}", {**parameters, **options}).json == expected


@pytest.mark.parametrize("name", ["runs", "health", "stages", "operators", "flow", "losses", "timeline"])
def test_what_a_page_begins_with_has_an_address_of_its_own(served: Served, name: str) -> None:
    parameters = {"run": "monday"}
    assert served.http.get(f"/v1/{name}", parameters).json == served.http.get(f"/v1/query/{name}", parameters).json


@pytest.mark.parametrize(
    ("path", "method", "params"),
    [
        ("/v1/info", "info", {}),
        ("/v1/verbs", "verbs", {}),
        ("/v1/progress?run=monday", "progress", {"run": "monday"}),
        ("/v1/items?run=monday&limit=5&sort=correct", "items",
         {"filters": [["run", "monday"]], "limit": 5, "sort": "correct"}),
        ("/v1/trace?item=q3&run=monday", "trace", {"item": "q3", "filters": [["run", "monday"]]}),
        ("/v1/trace?call=0000000000000001&payloads=true", "trace", {"call": "0000000000000001", "payloads": True}),
        ("/v1/calls/0000000000000001", "call", {"call": "0000000000000001"}),
        ("/v1/compare?before=monday&after=tuesday", "compare", {"before": "monday", "after": "tuesday"}),
        ("/v1/producers", "producers", {}),
    ],
)  # fmt: skip
def test_everything_else_too(served: Served, path: str, method: str, params: dict[str, Any]) -> None:
    answer = served.http.get(path)
    assert answer.status == 200, answer.body
    assert answer.json == as_json(served.client.call(method, **params))


def test_filters_stand_in_the_address(served: Served) -> None:
    def calls(**parameters: Any) -> int:
        rows = served.http.get("/v1/health", parameters).json["rows"]
        return int(dict(rows)["calls"])

    everything = calls(run="monday")
    assert 0 < calls(run="monday", type="judge") < everything
    assert calls(run="monday", item="q3") == calls(run="monday", item='"q3"') > 0
    assert calls(run="monday", item=3) == 0
    assert calls(run="monday", since=1_700_000_000) == everything
    assert calls(run="monday", until=1_600_000_000) == 0
    assert calls(run="monday", tag="nowhere=1") == 0


def test_answers_that_stand_for_none_are_parameters(served: Served) -> None:
    """As `abstain` over RPC: several times, each what it is in JSON, else text."""

    def told(path: str) -> Any:
        answer = served.http.get(path)
        assert answer.status == 200, answer.body
        return answer.json

    given = {"filters": [["run", "monday"]], "options": {"abstain": ["A", 1]}}
    expected = as_json(served.client.call("query", verb="ensemble_disagreement", **given))
    assert told("/v1/query/ensemble_disagreement?run=monday&abstain=A&abstain=1") == expected
    assert told("/v1/query/ensemble_disagreement?run=monday") != expected
    items = as_json(served.client.call("items", **given))
    assert told("/v1/items?run=monday&abstain=A&abstain=1") == items != told("/v1/items?run=monday")
    sides = {"before": "monday", "after": "tuesday"}
    compared = as_json(served.client.call("compare", **sides, abstain=["B"]))
    assert told("/v1/compare?before=monday&after=tuesday&abstain=B") == compared
    assert compared["n"] < told("/v1/compare?before=monday&after=tuesday")["n"]
    a_list, b_list = in_path('["A", 1]'), in_path('["B"]')
    assert told(f"/v1/query/ensemble_disagreement?run=monday&abstain={a_list}") == expected
    assert told(f"/v1/query/ensemble_disagreement?run=monday&abstain={in_path('[1]')}&abstain=A") == expected
    assert told(f"/v1/items?run=monday&abstain={a_list}") == items
    assert told(f"/v1/compare?before=monday&after=tuesday&abstain={b_list}") == compared
    assert told("/v1/query/ensemble_disagreement?run=monday&abstain=[]") == told(
        "/v1/query/ensemble_disagreement?run=monday"
    )


@pytest.mark.parametrize(
    "path",
    ["/v1/items?run=monday", "/v1/compare?before=monday&after=tuesday", "/v1/query/item?key=q3", "/v1/flow?run=monday"],
)
def test_answers_that_stand_for_none_are_bounded(served: Served, path: str) -> None:
    def status(*values: str) -> int:
        return served.http.get(path + "".join(f"&abstain={value}" for value in values)).status

    assert status("A" * 1000) == status(*["A"] * 100) == 200
    assert status("A", "A" * 1001) == status(*["A"] * 101) == 400


def test_items_are_searched_sorted_and_cut_into_pages(served: Served) -> None:
    asked = {"run": "tuesday", "sort": "correct", "descending": "true"}
    whole = served.http.get("/v1/items", asked).json
    rows, cursor = [], 0
    while cursor is not None:
        page = served.http.get("/v1/items", {**asked, "limit": 4, "cursor": cursor}).json
        assert page["total"] == whole["total"] == QUESTIONS + 1
        rows += page["rows"]
        cursor = page["next"]
    assert rows == whole["rows"]
    shares = [row["correct"] for row in rows]
    assert shares[-1] is None and shares[:-1] == sorted(shares[:-1], reverse=True)
    wrong = served.http.get("/v1/items", {"run": "tuesday", "only": "wrong"}).json
    assert [row["item"] for row in wrong["rows"]] == ["q0", "q3", "q6", "q9"]
    assert [row["item"] for row in served.http.get("/v1/items", {"run": "monday", "search": "Q11"}).json["rows"]] == [
        "q11"
    ]
    assert [row["item"] for row in served.http.get("/v1/items", {"run": "monday", "search": "Ü"}).json["rows"]] == [
        "q/../ü"
    ]


def test_a_trace_is_cut_into_pages_and_shows_payloads_on_demand(served: Served) -> None:
    asked = {"item": "q3", "run": "monday"}
    whole = served.http.get("/v1/trace", asked).json["rows"]
    assert [row["depth"] for row in whole] == [0, 1, 2, 2, 2, 1]
    known = {row["call_id"] for row in whole}
    assert all(row["parent_call_id"] in known for row in whole[1:])
    pages, cursor = [], 0
    while cursor is not None:
        page = served.http.get("/v1/trace", {**asked, "limit": 1, "cursor": cursor}).json
        pages += page["rows"]
        cursor = page["next"]
    assert pages == whole
    assert "args" not in whole[0]
    full = served.http.get("/v1/trace", {**asked, "payloads": "true"}).json["rows"]
    assert full[0]["args"] == [int(full[0]["call_id"], 16)]
    assert full[-1] == {"depth": 1, **served.http.get(f"/v1/calls/{full[-1]['call_id']}").json}
    failed = served.http.get("/v1/trace", {"item": "q/../ü", "run": "monday", "payloads": "true"}).json["rows"][-1]
    assert failed["failure"]["type"] == "ValueError"
    assert served.http.get("/v1/trace", {"item": "nobody"}).json["rows"] == []


def test_two_runs_are_compared_item_by_item(served: Served) -> None:
    found = served.http.get("/v1/compare", {"before": "monday", "after": "tuesday"}).json
    assert (found["n"], found["only_before"], found["only_after"]) == (QUESTIONS, 4, 0)
    assert found["config"] == {"verdict": {"before": "A", "after": "B"}}


def test_events_are_the_same_in_pages_and_in_every_format(served: Served) -> None:
    pages: list[Any] = []
    start: int | None = 0
    while start is not None:
        page = served.http.get("/v1/events", {"start": start, "limit": 1}).json
        pages += page["events"]
        start = page["next"]
    lines = served.http.get("/v1/events", {"format": "ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in lines.body.splitlines()] == pages
    assert len(pages) == served.events()
    arrow = served.http.get("/v1/events", Accept="application/vnd.apache.arrow.stream")
    table = pyarrow.ipc.open_stream(arrow.body).read_all().to_pylist()
    assert [(row["producer"], row["seq"], row["operator_id"]) for row in table] == [
        (row["producer"], row["seq"], row["operator_id"]) for row in pages
    ]
    assert json.loads(table[0]["data"]) == pages[0]["data"]
    assert "data" not in served.http.get("/v1/events", {"payloads": "false"}).json["events"][0]


def test_rows_come_as_lines_and_as_arrow(served: Served) -> None:
    asked = {"run": "monday"}
    rows = served.http.get("/v1/query/items", asked).json["rows"]
    lines = served.http.get("/v1/query/items", {**asked, "format": "ndjson"}).body
    assert [json.loads(line) for line in lines.splitlines()] == rows
    table = pyarrow.ipc.open_stream(served.http.get("/v1/query/items", {**asked, "format": "arrow"}).body).read_all()
    found = table.to_pylist()
    assert [row["item"] for row in found] == [row["item"] for row in rows]
    assert [json.loads(row["answers"]) for row in found] == [row["answers"] for row in rows]
    assert served.http.get("/v1/health", {"format": "arrow"}).code == "query"


def test_a_stream_goes_on_where_the_last_message_was(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        http = Http(ready["http_port"])
        monday = told("monday", 1, "A")
        emitter = emit(ready["endpoint"], monday)
        with http.stream("/v1/events/stream?start=0") as stream:
            assert stream.response.headers["content-type"].startswith("text/event-stream")
            first, last_id = stream.events(len(monday.events))
        tuesday = told("tuesday", 1001, "B")
        emit(ready["endpoint"], tuesday)
        with http.stream("/v1/events/stream?start=0", Last_Event_ID=last_id) as stream:
            second, last_id = stream.events(len(tuesday.events))
        assert [event["seq"] for event in first + second] == list(range(1, len(monday.events + tuesday.events) + 1))
        with http.stream("/v1/events/stream") as stream:
            begun = next(iter(stream))
            assert (begun.event, begun.id) == ("position", last_id)
            emit(ready["endpoint"], told("wednesday", 2001, "A"))
            third, _ = stream.events(1)
        assert third[0]["seq"] == second[-1]["seq"] + 1
        assert {"data"} & set(third[0]) == set()
        emitter.close(10)


@pytest.mark.parametrize("given", ["x", "-1", "9" * 19, "9" * 30, "\u0663"])
def test_an_id_that_is_no_position_of_this_recording_is_refused(served: Served, given: str) -> None:
    with served.http.stream("/v1/events/stream", Last_Event_ID=given.encode().decode("latin-1")) as stream:
        assert stream.status == 400
        assert json.loads(stream.response.read())["code"] == "query"


def test_prometheus_can_read_the_metrics(served: Served) -> None:
    while True:  # the gauges are made once a second
        text = served.http.get("/metrics")
        families = {family.name: family for family in text_string_to_metric_families(text.body.decode())}
        found = families.get("embertrace_events")
        if found is not None and found.samples[0].value == served.events():
            break
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert families["embertrace_up"].samples[0].value == 1
    assert families["embertrace_events"].type == "counter"
    states = {sample.labels["state"]: sample.value for sample in families["embertrace_producers"].samples}
    assert states == {"connected": 1, "ended": 0}
    assert {sample.labels["reason"] for sample in families["embertrace_gap_events"].samples} >= {"dropped"}
    for name in ("event_bytes", "undecodable_events", "damaged_bytes", "analyst_lag_bytes", "delivery_delay_seconds"):
        assert f"embertrace_{name}" in families
    for family in families.values():
        assert family.documentation and family.name.startswith("embertrace_")


def test_the_ingest_tells_what_it_counted(served: Served) -> None:
    while True:
        text = served.http.get("/metrics").body.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        taken = families.get("embertrace_ingest_events")
        if taken is not None and taken.samples[0].value == served.events():
            break
    assert families["embertrace_ingest_malformed"].samples[0].value == 0
    assert families["embertrace_recording_free_bytes"].samples[0].value > 0


def test_it_says_that_it_is_there(served: Served) -> None:
    while served.http.get("/healthz").json != {"status": "ok"}:
        pass


def test_the_page_and_its_files(served: Served) -> None:
    assert served.ready["page"] == f"http://127.0.0.1:{served.ready['http_port']}/"
    page = served.http.get("/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"/api" in page.body
    for path, kind in (("/static/api.css", "text/css"), ("/favicon.ico", "image/svg+xml"), ("/api", "text/html")):
        found = served.http.get(path)
        assert found.status == 200 and found.headers["content-type"].startswith(kind)
        assert b"//" not in found.body.replace(b"http://www.w3.org", b""), "nothing comes from elsewhere"
    tag = page.headers["etag"]
    again = served.http.get("/", If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert served.http.get("/", If_None_Match='"other"').status == 200


def test_the_description_names_every_resource(served: Served) -> None:
    document = served.http.get("/v1/openapi.json").json
    assert document["openapi"].startswith("3.")
    api = served.http.get("/api").body.decode()
    for path, methods in document["paths"].items():
        assert path in api
        for about in methods.values():
            assert "422" not in about["responses"] and "default" in about["responses"]
        if "get" in methods and "{" not in path and path != "/v1/events/stream":
            assert served.http.get(path).status in (200, 400), path
    assert {"/v1/query", "/v1/items", "/v1/trace", "/v1/events/stream", "/metrics", "/healthz"} <= set(
        document["paths"]
    )


def test_names_of_all_kinds_pass_through_addresses(served: Served) -> None:
    assert served.http.get(f"/v1/query/item?key={in_path('q/../ü')}&run=monday").json["rows"]
