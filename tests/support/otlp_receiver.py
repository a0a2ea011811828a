"""An OTLP receiver in this process: decodes what it gets, and answers as it is told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Receiver:
    """`requests` are the messages that were taken; `answers` are given in turn before 200: (status, headers, body)."""

    def __init__(self, url: str, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
        self.url = url
        self.answers = answers
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[Any] = []
        self.hold = threading.Event()
        """Cleared, requests wait for it before they are answered."""
        self.hold.set()

    def spans(self) -> list[Any]:
        return [span for resource in self.resources() for scope in resource.scope_spans for span in scope.spans]

    def resources(self) -> list[Any]:
        return [resource for request in self.requests for resource in request.resource_spans]


@contextmanager
def receiving(*answers: tuple[int, dict[str, str], bytes], port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.paths.append(self.path)
            receiver.headers.append(dict(self.headers))
            receiver.hold.wait()
            status, headers, said = receiver.answers.pop(0) if receiver.answers else (200, {}, b"")
            if status == 200:
                plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
                receiver.requests.append(ExportTraceServiceRequest.FromString(plain))
                said = said or ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(held: Any) -> dict[str, Any]:
    """The attributes of a span, an event, a link or a resource as a dictionary."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in held.attributes}
