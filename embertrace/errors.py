"""Every exception embertrace raises. Imports nothing.

The rule for messages: what went wrong, where (path, endpoint, field), which value, and what to do.
Tracing itself never raises into an operator; these reach people who configure, connect, open or query.
"""

from __future__ import annotations


class EmbertraceError(Exception):
    """Base of all errors raised by embertrace."""


class ConfigError(EmbertraceError):
    """A setting, an argument or an EMBERTRACE_* variable has an unusable value."""


class WireError(EmbertraceError):
    """Bytes that do not follow the wire format: truncated, corrupt, over a limit, or of another version."""


class VersionError(WireError):
    """Bytes of a format version this library does not speak."""


class RecordingError(EmbertraceError):
    """A recording is missing, unreadable, locked by another aggregator, or of a newer format."""


class LockedError(RecordingError):
    """A recording is being written by another process, which is to be asked instead."""


class NoSpaceError(RecordingError):
    """There is no space to record; nothing was lost by trying, and it may be tried again."""


class AggregatorError(EmbertraceError):
    """The aggregator could not be started, reached, or stopped."""


class SecurityError(AggregatorError):
    """A key is missing, malformed, readable by others, or not accepted."""


class QueryError(EmbertraceError):
    """A question that cannot be answered: unknown verb, bad option, several runs where one is meant."""


class ExportError(EmbertraceError):
    """Another tool could not be given what it was to get: not reached, or it refused."""


class MissingExtraError(EmbertraceError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra: pip install 'embertrace[{extra}]'")
