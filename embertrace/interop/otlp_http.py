"""One OTLP request over HTTP: POST, and what the answer means. Decides nothing about what is sent.

Rules:
- 429, 502, 503, 504, a timeout and a connection that fails are tried again, at most `attempts` times in all: after what
  Retry-After says, else after pauses that double. No pause is longer than MAX_PAUSE_S. Every retry is counted.
- Nothing is compressed unless asked for: not every receiver can unpack it, and OpenTelemetry's default is the same.
- Any other status is final. Redirects are not followed: data would go where nobody said it should.
- Clock, pauses and the connection are arguments, so that tests need no network and no time.
"""

from __future__ import annotations

import email.utils
import gzip
import http.client
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple

from embertrace.errors import ConfigError, ExportError

RETRIED = frozenset({429, 502, 503, 504})
"""The statuses that OTLP/HTTP calls retryable."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
"""A receiver that restarts is back within seconds; one that asks for more than half a minute is as good as down."""
TRACES_PATH = "/v1/traces"
HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
"""Where OpenTelemetry's exporters look for headers: what authenticates stays off command lines."""
MAX_ANSWER_BYTES = 64 * 1024


class Answer(NamedTuple):
    """What a receiver said: HTTP status, the Retry-After header if any, and the body."""

    status: int
    retry_after: str | None
    body: bytes


class Failed(NamedTuple):
    """An attempt that is worth another: why it failed, and how long the receiver wants to be left alone, if it said."""

    why: str
    wait_s: float | None

    def pause_s(self, failures: int) -> float:
        """Seconds until the next attempt, after so many before this one."""
        doubled = FIRST_PAUSE_S * 2 ** min(failures, 16)
        return min(MAX_PAUSE_S, doubled if self.wait_s is None else self.wait_s)


Post = Callable[[bytes, Mapping[str, str]], Answer]
"""Sends one body with headers. Raises OSError or http.client.HTTPException where nobody answers."""


def traces_url(url: str) -> str:
    """The address that traces are posted to: of a bare host /v1/traces, else what was given. Raises ConfigError."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ConfigError(f"{url!r} is no address of an OTLP receiver; it looks like http://localhost:4318")
    return parts._replace(path=TRACES_PATH).geturl() if parts.path in ("", "/") else url


def http_post(url: str, timeout_s: float) -> Post:
    """A function that posts to `url`, over a connection of its own each time."""
    parts = urllib.parse.urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = parts.path + (f"?{parts.query}" if parts.query else "")

    def post(body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = connect(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            connection.request("POST", path, body, dict(headers))
            got = connection.getresponse()
            return Answer(got.status, got.getheader("Retry-After"), got.read(MAX_ANSWER_BYTES))
        finally:
            connection.close()

    return post


class Poster:
    """Posts bodies and tries again. `retries` counts. Not thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        compress: bool = False,
        attempts: int = 5,
        timeout_s: float = 10.0,
        post: Post | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        content_type: str = "application/x-protobuf",
    ) -> None:
        if attempts < 1:
            raise ConfigError(f"attempts is {attempts}; at least 1 is needed to send anything")
        self.url = traces_url(url)
        self.retries = 0
        encoding = {"Content-Encoding": "gzip"} if compress else {}
        self._headers = {"Content-Type": content_type, **encoding, **(headers or {})}
        self._compress = compress
        self._attempts, self._sleep, self._now = attempts, sleep, now
        self._post = post or http_post(self.url, timeout_s)

    def once(self, body: bytes) -> Answer | Failed:
        """What came of one attempt. Raises nothing."""
        packed = gzip.compress(body, compresslevel=1) if self._compress else body
        try:
            answer = self._post(packed, self._headers)
        except (OSError, http.client.HTTPException) as error:
            return Failed(str(error) or type(error).__name__, None)
        if answer.status in RETRIED:
            return Failed(f"it answered {answer.status}", retry_after_s(answer.retry_after, self._now()))
        return answer

    def send(self, body: bytes) -> Answer:
        """The first answer that is final. Raises ExportError where none came in all attempts."""
        said = ""
        for attempt in range(self._attempts):
            tried = self.once(body)
            if isinstance(tried, Answer):
                return tried
            said = tried.why
            if attempt + 1 < self._attempts:
                self.retries += 1
                self._sleep(tried.pause_s(attempt))
        times = "once" if self._attempts == 1 else f"{self._attempts} times"
        raise ExportError(f"{self.url} did not take the spans ({said}), tried {times}; is a receiver running there?")


def retry_after_s(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, from a number or a date; None where it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return None


def headers_of(given: str) -> dict[str, str]:
    """Headers from a text as in OTEL_EXPORTER_OTLP_HEADERS: name=value pairs with commas, percent-encoded."""
    pairs = (part.partition("=") for part in given.split(",") if part.strip())
    return {name.strip(): urllib.parse.unquote(value.strip()) for name, _, value in pairs if name.strip()}
