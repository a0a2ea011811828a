"""Asking over HTTP as a stranger would: with the standard library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

PATIENCE_S = 30.0


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error, which is one sentence and one word."""
        error = self.json
        assert set(error) == {"error", "code"} and error["error"], error
        return str(error["code"])


class Http:
    """Requests to one port of this machine, each over a connection of its own."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self._headers = headers

    def get(self, path: str, parameters: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        texts = {
            name: json.dumps(value) if isinstance(value, list) else value for name, value in (parameters or {}).items()
        }
        return self.ask("GET", path + (f"?{urlencode(texts)}" if texts else ""), None, headers)

    def post(self, path: str, value: Any, **headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/json", **headers})

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            named = {name.replace("_", "-"): value for name, value in {**self._headers, **headers}.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def stream(self, path: str, **headers: str) -> Stream:
        return Stream(self.port, path, {**self._headers, **headers})


class Message(NamedTuple):
    event: str
    id: str
    data: Any


class Stream:
    """Server-sent events, one by one. Iterating ends where the server ends the stream."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        self.response = self._connection.getresponse()
        self.status = self.response.status

    def __iter__(self) -> Iterator[Message]:
        fields: dict[str, str] = {}
        for line in iter(self.response.readline, b""):
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield Message(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}

    def events(self, count: int) -> tuple[list[Any], str]:
        """The next events, at least so many, and the id of the last message."""
        found: list[Any] = []
        for message in self:
            found += message.data.get("events", [])
            if len(found) >= count:
                return found, message.id
        raise AssertionError(f"the stream ended after {len(found)} events")

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def in_path(text: str) -> str:
    return quote(text, safe="")
