"""A run: one execution of a program, described by events of its own, and sent to one aggregator.

Rules:
- A run is described by metric events with data {"run": {id, name, project, config, argv, git, versions, status}}:
  one before its first event (status "running"), one at its end ("finished" or "failed", with the number of roots).
- There is one run at a time in a process; `init` ends the one before.
- A run belongs to the process that began it: forked children emit into it, but never describe or end it.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import secrets
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from embertrace import collect, config, context, emit, keys
from embertrace.context import Roots, Scope
from embertrace.ending import at_end
from embertrace.errors import ConfigError, SecurityError
from embertrace.event import DEFAULT_STAGE, METRIC
from embertrace.keys import ClientKey
from embertrace.sinks import AddressedSink
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent, pack_event

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_active: Run | None = None
_runs: weakref.WeakSet[Run] = weakref.WeakSet()
"""All of this process: a forked child must know them."""
_lock = threading.RLock()


class Run(AddressedSink):
    """A running run. `close` ends it; leaving it as a context manager does too ("failed" on an exception)."""

    def __init__(
        self,
        endpoint: str,
        name: str | None,
        project: str | None,
        configuration: Mapping[str, Any],
        key: ClientKey | None = None,
    ) -> None:
        self.id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        self.name = name or self.id
        self.project = project
        self.config = dict(configuration)
        self.endpoint = endpoint
        self.key = key
        self.emitter = emit.emitter_for(endpoint, key)
        self._begun = Roots()
        self._scope = Scope(run=self.id, roots=itertools.count(), begun=self._begun)
        self._owner = os.getpid()
        self._status = ""
        self.put: Callable[[bytes], None] = self._first_put
        """Sink: send one event, after the run's description."""
        _runs.add(self)

    def announce(self) -> None:
        """Describe the run, once. Happens by itself before its first event; other threads do not wait for that."""
        with _lock:
            if self._status or os.getpid() != self._owner:
                return
            self._status, self.put = "running", self.emitter.put
            try:
                self._describe({**_surroundings(), "config": self.config, "status": "running"})
            except BaseException:  # an interrupt, or no room at the limit of recursion: the next event tries again
                self._status, self.put = "", self._first_put
                raise
            self.put = self.emitter.put  # which is another one once its thread runs

    def inherit(self) -> None:
        """In a forked child: what the emitter was to the parent it is no more."""
        self.put = self._first_put

    def _first_put(self, packed: bytes) -> None:
        if not self._status:
            self.announce()
        self.emitter.put(packed)

    def close(self, status: str = "finished", timeout_s: float | None = None) -> bool:
        """End the run and wait until its events are acknowledged (at most `timeout_s`, default the linger).

        Returns whether they were. Later calls do nothing and return True.
        """
        global _active
        with _lock:
            if _active is self:
                _active = None
            collect.remove_sink(self)
            if context.ground.run == self.id:
                context.set_ground(context.NO_SCOPE)
            if self._status != "running" or os.getpid() != self._owner:
                return True
            self._status = status
            self._describe({"status": status, "roots": self.roots})
        return self.emitter.flush(collect.settings.linger_s if timeout_s is None else timeout_s)

    def activate(self) -> Run:
        """Make this the run of the process: its events go to the run's aggregator."""
        global _active
        with _lock:
            if _active is not None:
                _active.close()
            _active = self
            context.set_ground(self._scope)
            collect.add_sink(self)
        return self

    @property
    def roots(self) -> int:
        """How many root calls were begun or submitted in this run so far, by this process."""
        with _lock:
            return self._begun.number()

    def _describe(self, values: Mapping[str, Any]) -> None:
        described = {"id": self.id, "name": self.name, "project": self.project, **values}
        event = RawEvent(
            METRIC, time.time_ns(), None, 0, 0, 0, 0, 0, self.name, "run", DEFAULT_STAGE, None, 0, 0, (),
            pack_context(Added(run=self.id)), collect.pack_data({"run": described}),
        )  # fmt: skip
        self.emitter.put(pack_event(event))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close("failed" if kind is not None else "finished")

    def __repr__(self) -> str:
        return f"Run({self.name!r}, id={self.id!r}, endpoint={self.endpoint!r})"


def init(
    endpoint: str | None = None,
    *,
    run: str | None = None,
    project: str | None = None,
    config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Send this process's events to a shared aggregator, as one run. Returns it; it ends with the process.

    `endpoint` defaults to EMBERTRACE_ENDPOINT, `run` and `project` (names) to EMBERTRACE_RUN and EMBERTRACE_PROJECT.
    `config` is kept with the run and compared between runs. Further keywords are the fields of `config.Settings`.
    An aggregator that is not there is no error: events are held up to `spool_bytes`, and the user is told once.
    Raises ConfigError for values that can't be used, SecurityError for a key that can't.
    """
    chosen = _settings({"endpoint": endpoint, "run": run, "project": project, **settings})
    if chosen.endpoint is None:
        raise ConfigError("init() needs an endpoint: pass tcp://host:port, or set EMBERTRACE_ENDPOINT")
    if chosen.run is not None and not _NAME.fullmatch(chosen.run):
        raise ConfigError(f"run is {chosen.run!r}; a name has letters, digits, '.', '_' and '-', at most 100")
    key = keys.load(chosen.key)
    collect.configure(chosen)
    return Run(chosen.endpoint, chosen.run, chosen.project, config or {}, key).activate()


def _settings(values: Mapping[str, Any]) -> config.Settings:
    """Arguments over environment over defaults."""
    config.check_names(values)
    given = {name: value for name, value in values.items() if value is not None}
    return config.of_process(given)


def _surroundings() -> dict[str, Any]:
    """What a run can say of itself without being asked."""
    modules = ("embertrace", "ray", "numpy")
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in modules}
    versions = {"python": platform.python_version(), **{name: text for name, text in found.items() if text}}
    return {"argv": sys.argv[:32], "git": _git_commit(), "versions": versions, "host": platform.node()}


def _git_commit() -> str | None:
    """The commit of the working directory, if it is a checkout and git answers quickly."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None if asked.returncode == 0 else None


def _close_active() -> None:
    """At exit. Waits for nothing: the emitters' own end (see `emit`) comes next, and lingers."""
    if _active is not None:
        has_failed = getattr(sys, "last_exc", getattr(sys, "last_value", None)) is not None
        _active.close("failed" if has_failed else "finished", timeout_s=0.0)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for run in _runs:
        run.inherit()


at_end(_close_active)
os.register_at_fork(after_in_child=_after_fork_in_child)


def start_from_environment() -> None:
    """Begin a run because EMBERTRACE_ENDPOINT is set. A value that can't be used is logged, never raised.

    The program did not ask for tracing in its code, so it must not fail for it.
    """
    try:
        init()
    except (ConfigError, SecurityError) as error:
        collect.log.error("tracing stays off: %s", error)
