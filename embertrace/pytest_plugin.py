"""The pytest plugin: the fixture `embertrace_events`, and `--embertrace-record DIR`.

Rules:
- Without the option and the fixture nothing of embertrace is loaded but its public names, and no test is changed.
- With the option all tests are one run, named "pytest", in a recording of its own aggregator; each test is an item: its
  key the test's id, its score `passed`. A recording that can't be made ends pytest with a sentence, before any test.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from embertrace.embedded import Session
    from embertrace.sinks import EventList

RUN = "pytest"
KEY_CHARS = 500
"""Of a test's id: an item keeps 2 KB of a key, and parameters can be whole documents."""

_session = pytest.StashKey[AbstractContextManager["Session"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("embertrace", "tracing of operators")
    group.addoption(
        "--embertrace-record",
        metavar="DIR",
        default=None,
        help="Record what traced operators do, each test as an item, into the recording DIR.",
    )


def pytest_configure(config: pytest.Config) -> None:
    directory = config.getoption("--embertrace-record")
    if directory is None:
        return
    if hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "--embertrace-record is for one process; for several, start `embertrace aggregate` and name it in "
            "EMBERTRACE_ENDPOINT"
        )
    import embertrace
    from embertrace.errors import EmbertraceError

    session = embertrace.session(directory, run=RUN, quiet=True)
    try:
        session.__enter__()
    except EmbertraceError as error:
        raise pytest.UsageError(f"--embertrace-record {directory}: {error}") from None
    config.stash[_session] = session


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(_session, None)
    if session is not None:
        del config.stash[_session]
        session.__exit__(None, None, None)


def pytest_report_header(config: pytest.Config) -> str | None:
    if _session not in config.stash:
        return None
    return f"embertrace: recording to {config.getoption('--embertrace-record')}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if _session not in item.config.stash:
        return (yield)
    import embertrace

    with embertrace.item(item.nodeid[-KEY_CHARS:]):
        try:
            result = yield
        except (pytest.skip.Exception, pytest.xfail.Exception, KeyboardInterrupt):  # nobody was judged
            raise
        except BaseException:
            embertrace.score(passed=False)
            raise
        embertrace.score(passed=True)
        return result


@pytest.fixture
def embertrace_events() -> Iterator[EventList]:
    """The events of traced operators during this test, in memory: give them to `embertrace.OperatorAnalysis`.

    Leaving the test waits for calls that it submitted to other processes, as `collect_events` does.
    """
    import embertrace

    with embertrace.collect_events() as events:
        yield events
