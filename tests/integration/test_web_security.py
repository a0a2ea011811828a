"""What the HTTP door refuses, and how: with one sentence, one word, and no harm."""

from __future__ import annotations

import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from aggregator.web.security import HEADERS, MAX_BODY_BYTES
from embertrace.client import Client
from embertrace.handshake import new_pair
from embertrace.keys import ClientKey, make_keys, read_token
from support.aggregators import aggregator
from support.http_client import Http

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with aggregator(tmp_path_factory.mktemp("web") / "rec") as (ready, _):
        yield Http(ready["http_port"])


@pytest.mark.parametrize("path", ["/", "/v1/info", "/v1/nowhere", "/metrics", "/static/api.css", "/v1/query/nope"])
def test_every_answer_tells_browsers_what_is_safe(http: Http, path: str) -> None:
    headers = http.get(path).headers
    assert {name: headers.get(name) for name, _ in HEADERS} == dict(HEADERS)
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/static/api.css") else "no-store")
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "a@127.0.0.1", "", "[::1"]
)
def test_a_host_that_is_not_known_is_refused(http: Http, host: str) -> None:
    answer = http.get("/v1/info", Host=host)
    assert (answer.status, answer.code) == (403, "host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080", socket.gethostname()])
def test_names_of_this_machine_and_addresses_are_known(http: Http, host: str) -> None:
    assert http.get("/v1/info", Host=host).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://localhost:1", "file://", "", "127.0.0.1"]
)
def test_pages_of_others_may_not_ask(http: Http, origin: str) -> None:
    for answer in (http.get("/v1/info", Origin=origin), http.post("/v1/query", {"verb": "runs"}, Origin=origin)):
        assert (answer.status, answer.code) == (403, "origin")


def test_its_own_page_may(http: Http) -> None:
    own = f"127.0.0.1:{http.port}"
    assert http.post("/v1/query", {"verb": "runs"}, Origin=f"http://{own}", Host=own).status == 200
    assert http.get("/v1/runs", Origin="https://localhost", Host="localhost").status == 200  # behind a proxy


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("PUT", "/v1/query", b"{}", JSON, 405, "method"),
        ("DELETE", "/v1/runs", None, {}, 405, "method"),
        ("OPTIONS", "/v1/query", None, {}, 405, "method"),
        ("POST", "/v1/runs", b"{}", JSON, 405, "method"),
        ("GET", "/v1/query", None, {}, 405, "method"),
        ("GET", "/nowhere", None, {}, 404, "not_found"),
        ("GET", "/docs", None, {}, 404, "not_found"),
        ("GET", "/v1/query/nope", None, {}, 404, "not_found"),
        ("GET", "/static/../../pyproject.toml", None, {}, 404, "not_found"),
        ("GET", "/static/..%2f..%2fpyproject.toml", None, {}, 404, "not_found"),
        ("GET", "/static//etc/passwd", None, {}, 404, "not_found"),
        ("GET", "/static/%00", None, {}, 404, "not_found"),
        ("GET", "/static/", None, {}, 404, "not_found"),
        ("POST", "/v1/query", b"{", JSON, 400, "bad_request"),
        ("POST", "/v1/query", b"", JSON, 400, "bad_request"),
        ("POST", "/v1/query", b"[]", JSON, 400, "bad_request"),
        ("POST", "/v1/query", b'{"filters": []}', JSON, 400, "bad_request"),
        ("POST", "/v1/query", b'{"verb": "runs", "filters": "x"}', JSON, 400, "bad_request"),
        ("POST", "/v1/query", b"\xff\xfe", JSON, 400, "bad_request"),
        ("POST", "/v1/query", b"[" * 60_000, JSON, 400, "bad_request"),
        ("POST", "/v1/query", b'{"verb": "nope"}', JSON, 400, "query"),
        ("POST", "/v1/query", b'{"verb": "\\ud800"}', JSON, 400, "query"),
        ("POST", "/v1/query", b'{"verb": "runs", "filters": [["nope"]]}', JSON, 400, "query"),
        ("POST", "/v1/query", b'{"verb": "runs", "filters": [["item", {"a": 1e999}]]}', JSON, 200, ""),
        ("POST", "/v1/query", b'{"verb": "runs", "filters": [%s1%s]}' % (b"[" * 200, b"]" * 200), JSON, 400, "query"),
        ("POST", "/v1/query", b'{"verb": "items", "options": {"answer": "regex:("}}', JSON, 400, "query"),
        ("POST", "/v1/query", b'{"verb": "runs"}', {"Content-Type": "text/plain"}, 415, "media_type"),
        ("POST", "/v1/query", b'{"verb": "runs"}', {}, 415, "media_type"),
        ("POST", "/v1/query", b" " * (MAX_BODY_BYTES + 1), JSON, 413, "too_large"),
        ("POST", "/v1/query", b"{}", {**JSON, "Content-Length": "9" * 15}, 413, "too_large"),
        ("GET", "/v1/items?limit=0", None, {}, 400, "bad_request"),
        ("GET", "/v1/items?cursor=-1", None, {}, 400, "bad_request"),
        ("GET", "/v1/items?sort=nope", None, {}, 400, "query"),
        ("GET", "/v1/items?only=nope", None, {}, 400, "query"),
        ("GET", "/v1/trace", None, {}, 400, "query"),
        ("GET", "/v1/trace?item=a&trace=b", None, {}, 400, "query"),
        ("GET", "/v1/trace?call=xyz", None, {}, 400, "query"),
        ("GET", "/v1/calls/ffffffffffffffff", None, {}, 400, "query"),
        ("GET", "/v1/compare?before=a", None, {}, 400, "bad_request"),
        ("GET", "/v1/compare?before=a&after=b", None, {}, 400, "query"),
        ("GET", "/v1/timeline?by=nope", None, {}, 400, "query"),
        ("GET", "/v1/timeline?bucket_s=0", None, {}, 400, "query"),
        ("GET", "/v1/query/failures", None, {}, 400, "query"),
        ("GET", "/v1/events?start=-1", None, {}, 400, "bad_request"),
        ("GET", "/v1/events?start=0&since=0", None, {}, 400, "query"),
        ("GET", "/v1/events?since=inf", None, {}, 400, "bad_request"),
        ("GET", "/v1/events?format=xml", None, {}, 400, "query"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_sentence(
    http: Http, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, code: str
) -> None:
    answer = http.ask(method, path, body, headers)
    assert answer.status == status, answer.body
    assert status == 200 or answer.code == code
    assert http.get("/healthz").status == 200


def test_a_body_is_bounded_also_where_nobody_says_how_long_it_is(http: Http) -> None:
    with socket.create_connection(("127.0.0.1", http.port), timeout=30) as connection:
        head = "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        connection.sendall(chunk * (MAX_BODY_BYTES // 0x1000 + 1))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("raw", [b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 100_000, b"\x16\x03\x01"])
def test_what_is_no_http_harms_nobody(http: Http, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", http.port), timeout=30) as connection:
        connection.sendall(raw + b"\r\n\r\n")
        while connection.recv(4096):
            pass
    assert http.get("/healthz").status == 200


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> pathlib.Path:
    make_keys(tmp_path / "keys", ["alice"], new_pair)
    return tmp_path / "keys"


def test_with_keys_it_asks_for_the_token(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    token = read_token(keys)
    assert (keys / "http.token").stat().st_mode & 0o777 == 0o600
    with aggregator(tmp_path / "rec", "--keys", str(keys), bind="tcp://0.0.0.0:0") as (ready, _):
        http = Http(ready["http_port"])
        for path in ("/", "/api", "/static/api.css", "/favicon.ico", "/healthz", "/v1/openapi.json"):
            assert http.get(path).status == 200
        for path in ("/v1/info", "/metrics", "/v1/events/stream", "/v1/nowhere", "/nowhere"):
            answer = http.get(path)
            assert (answer.status, answer.code) == (401, "token")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = ("Bearer", f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer \xff", token)
        for given in wrong:
            assert http.get("/v1/info", Authorization=given).code == "token"
        assert http.get("/v1/info", Authorization=f"bearer {token}").status == 200
        assert http.get("/metrics", Authorization=f"Bearer {token}").status == 200
        assert http.get("/v1/info", Authorization=f"Bearer {token}", Host="evil.example").code == "host"


def said(log: pathlib.Path) -> str:
    return log.read_text(encoding="utf-8")


@pytest.mark.parametrize("spoil", ["gone", "open", "empty"])
def test_without_a_token_that_can_be_used_http_stays_closed(
    tmp_path: pathlib.Path, keys: pathlib.Path, spoil: str
) -> None:
    path = keys / "http.token"
    if spoil == "gone":
        path.unlink()
    elif spoil == "open":
        path.chmod(0o644)
    else:
        path.write_text("\n")
    with aggregator(tmp_path / "rec", "--keys", str(keys), log=tmp_path / "log") as (ready, _):
        assert (ready["http_port"], ready["page"]) == (None, None)
    assert said(tmp_path / "log").count("no page and no HTTP") == 1


def test_beyond_this_machine_without_keys_http_stays_closed(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec", "--insecure-bind", bind="tcp://0.0.0.0:0", log=tmp_path / "log") as (ready, _):
        assert ready["http_port"] is None
    assert "embertrace keys" in said(tmp_path / "log")


def without_web(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment of a Python in which the extra is not installed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.modules['fastapi'] = None\n")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path}


def test_without_the_extra_it_records_and_answers_and_says_so_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in without_web(tmp_path).items():
        monkeypatch.setenv(name, value)
    with aggregator(tmp_path / "rec", log=tmp_path / "log") as (ready, _):
        assert ready["http_port"] is None
        with Client(ready["endpoint"]) as client:
            assert client.call("ping") == "pong"
            assert client.locate().http_port is None
    assert said(tmp_path / "log").count("embertrace[web]") == 1


def test_the_port_is_told_to_who_asks(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    key: Any = ClientKey.read(keys / "clients" / "alice.key")
    with (
        aggregator(tmp_path / "rec", "--keys", str(keys), "--advertise", "there.example") as (ready, _),
        Client(ready["endpoint"], key=key) as client,
    ):
        assert client.locate().http_port == ready["http_port"]
        assert ready["page"] == f"http://there.example:{ready['http_port']}/"
        token = f"Bearer {read_token(keys)}"
        assert Http(ready["http_port"]).get("/v1/info", Host="there.example", Authorization=token).status == 200
