"""session(): an embedded aggregator for the length of a block, its recording, and a run that goes there.

Rules:
- The aggregator is a subprocess (`python -m aggregator`), never imported: it must not trace itself, and a heavy query
  must not slow the traced program.
- It lives as long as this process: its standard input is a pipe that ends when we do, however we end.
- Leaving waits (at most `wait` seconds) until every call of the run has arrived and ended, then names what is open.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from embertrace import collect, keys
from embertrace.analysis import Forest, OperatorAnalysis
from embertrace.analysis.source import Source
from embertrace.client import Client
from embertrace.config import with_values
from embertrace.errors import AggregatorError, EmbertraceError
from embertrace.event import OperatorEvent
from embertrace.handshake import new_pair
from embertrace.keys import ClientKey
from embertrace.run import Run
from embertrace.sources import RemoteSource, read

log = logging.getLogger("embertrace")

START_S = 15.0
"""Seconds for the aggregator to come up: it starts two processes that import numpy; on a busy machine, slowly."""
STOP_S = 10.0
"""Seconds for it to drain and seal its recording before it is killed."""
POLL_S = 0.02
"""How often a leaving session asks for progress; about the time an event takes to become visible."""
ADOPT_S = 0.25
"""How often it looks for what dead workers left: a look costs some system calls per process that emits."""


def _on_this_machine() -> str | None:
    return None


address_beyond: Callable[[], str | None] = _on_this_machine
"""The address at which other machines that run operators reach this one; None where there are none. Set by `ray`."""


class _Lasting:
    """Answers from a session's aggregator while there is one, and from its recording afterwards."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._aggregator = RemoteSource(Client(session.endpoint, key=session.run.key))

    @property
    def _source(self) -> Source:
        return self._recording if self._session._closed else self._aggregator

    @cached_property
    def _recording(self) -> Source:
        return read(self._session.directory)

    @property
    def name(self) -> str:
        return str(self._session.directory)

    def answer(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._source.answer(query)

    def events(self) -> Iterable[OperatorEvent]:
        return self._source.events()

    def forest(self) -> Forest:
        return self._source.forest()


class Session:
    """A running session. `run` is its run, `endpoint` its aggregator, `directory` its recording, `page` its page."""

    def __init__(self, directory: pathlib.Path, endpoint: str, run: Run, page: str | None = None) -> None:
        self.directory = directory
        self.endpoint = endpoint
        self.run = run
        self.page = page
        self._closed = False

    def analysis(self) -> OperatorAnalysis:
        """The run so far: from the aggregator while the session lives, from its recording afterwards.

        Inside the block it first waits (a few seconds at most) until what this process emitted is visible. What was
        made inside the block can be asked behind it.
        """
        if self._closed:
            return OperatorAnalysis(read(self.directory)).run(self.run.id)
        self.settle(collect.settings.linger_s)
        return OperatorAnalysis(_Lasting(self)).run(self.run.id)

    def settle(self, timeout_s: float) -> dict[str, Any]:
        """Wait until all calls of the run have arrived and ended; returns the last progress (empty if none came).

        What dead workers left on this machine is delivered meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        progress: dict[str, Any] = {}
        adopt_at = 0.0
        self.run.emitter.flush(timeout_s)
        with Client(self.endpoint, key=self.run.key) as client, contextlib.suppress(EmbertraceError):
            while True:
                if time.monotonic() >= adopt_at:
                    self.run.emitter.adopt(max(0.0, deadline - time.monotonic()))
                    adopt_at = time.monotonic() + ADOPT_S
                progress = client.call("progress", run=self.run.id)
                complete = not progress["open"] and not progress["missing"] and progress["roots"] >= self.run.roots
                if complete or time.monotonic() > deadline:
                    return progress
                time.sleep(POLL_S)
        return progress

    def __repr__(self) -> str:
        return f"Session({str(self.directory)!r}, endpoint={self.endpoint!r}, run={self.run.name!r})"


@contextlib.contextmanager
def session(
    directory: str | os.PathLike[str],
    *,
    run: str | None = None,
    project: str | None = None,
    config: Mapping[str, Any] | None = None,
    wait: float = 10.0,
    quiet: bool = False,
    **settings: Any,
) -> Iterator[Session]:
    """Record everything traced in the block into `directory`, through an aggregator of its own on this machine.

    The directory is a recording, made if need be; a second session appends another run to it. `wait` bounds (seconds)
    how long leaving waits for calls that are still open. Prints where things are on stderr unless `quiet`. Further
    keywords are fields of `config.Settings`, which hold in the block: `sample=0.1`. Raises ConfigError for values that
    can't be used, AggregatorError, with the aggregator's own words, where that can't start.
    """
    path = pathlib.Path(directory)
    before = collect.settings
    inside = with_values(before, settings)
    aggregator = Embedded(path)
    try:
        collect.configure(inside)
        running = Run(aggregator.endpoint, run, project, config or {}, aggregator.key).activate()
        running.announce()
        current = Session(path, aggregator.endpoint, running, aggregator.page)
        if not quiet:
            print(f"embertrace: recording to {path}, aggregator at {aggregator.endpoint}", file=sys.stderr)
            if aggregator.page is not None:
                print(f"embertrace: watch it at {aggregator.page}", file=sys.stderr)
        try:
            yield current
        except BaseException:
            _leave(current, "failed", wait)
            raise
        _leave(current, "finished", wait)
    finally:
        collect.configure(before)
        aggregator.stop()


def _leave(current: Session, status: str, wait: float) -> None:
    progress = current.settle(wait)
    if progress.get("open") or progress.get("missing"):
        log.warning(
            "%d calls of run %s are still open and %d never arrived after %.0f s; the analysis counts them",
            progress["open"], current.run.name, progress["missing"], wait,
        )  # fmt: skip
    if not current.run.close(status, wait):
        log.warning("not all events of run %s were acknowledged within %.0f s", current.run.name, wait)
    current.run.emitter.close(collect.settings.linger_s)
    current._closed = True


class Embedded:
    """An aggregator of this process's own, as a subprocess that ends with it. `endpoint` is its address, `page` that of
    its page, None where there is no HTTP.

    Where operators run on other machines too, it listens for them, under a `key` made for it; else on loopback, where
    `key` is None. Raises AggregatorError, with its own words, if it does not start.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        host = address_beyond()
        command = [sys.executable, "-m", "aggregator", str(directory), "--bind", f"tcp://{host or '127.0.0.1'}:0"]
        self.key: ClientKey | None = None
        self._keys: tempfile.TemporaryDirectory[str] | None = None
        if host is not None:
            self._keys = tempfile.TemporaryDirectory(prefix="embertrace-keys-", ignore_cleanup_errors=True)
            command += ["--keys", self._keys.name]
            self.key = _key_for(self._keys.name)
        with tempfile.TemporaryFile() as said:  # a file, not a pipe: nobody would read a pipe while the program runs
            self._process = subprocess.Popen(
                [*command, "--ready-json", "--with-parent"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True,
            )  # fmt: skip
            assert self._process.stdout is not None
            ready, _, _ = select.select([self._process.stdout], [], [], START_S)
            line = self._process.stdout.readline() if ready else b""
            if not line:
                self.stop()
                said.seek(0)
                words = said.read().decode("utf-8", "replace").strip().splitlines()
                reason = words[-1] if words else f"it said nothing for {START_S:.0f} s"
                raise AggregatorError(f"the aggregator for {directory} did not start: {reason}")
        about = json.loads(line)
        self.endpoint = str(about["endpoint"])
        self.page = page_address(about.get("page"), self._keys.name if self._keys is not None else None)

    def stop(self) -> None:
        """End of its standard input tells it to drain and stop. May be called twice."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("the aggregator (pid %d) did not stop within %.0f s and is killed", process.pid, STOP_S)
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if self._keys is not None:
            self._keys.cleanup()


def page_address(page: str | None, key_directory: str | None) -> str | None:
    """With the token, where there is one, behind a #: that part of an address stays in the browser."""
    if page is None or key_directory is None:
        return page
    return f"{page}#token={keys.read_token(key_directory)}"


def _key_for(directory: str) -> ClientKey:
    """A key for this one aggregator and all who work for this process."""
    name = f"{keys.EMBEDDED}{secrets.token_hex(8)}"
    keys.make_keys(directory, [name], new_pair)
    return keys.register(ClientKey.read(pathlib.Path(directory) / "clients" / f"{name}.key"))
