"""Settings: frozen, validated once, and the only reader of EMBERTRACE_* variables.

Arguments in code win over variables, variables over defaults. A bad value is a ConfigError that names the
variable, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from embertrace.errors import ConfigError

Capture = Literal["all", "answers", "none"]
Delivery = Literal["spool", "memory"]
Full = Literal["drop", "block"]

TRAVELLING = (
    "capture",
    "payload_bytes",
    "redact_keys",
    "redact_patterns",
    "sample",
    "sample_seed",
    "keep_errors",
    "stages",
    "types",
    "delivery",
)
"""Settings that hold for a whole run: they travel with the context, since they apply where operators run. Bounds and
directories don't: they are of a process and of its machine."""

_ENDPOINT = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How this process traces. Immutable: `replace` makes another."""

    endpoint: str | None = None
    """The aggregator's address, tcp://host:port. Variable EMBERTRACE_ENDPOINT."""
    run: str | None = None
    """A name for the run. Variable EMBERTRACE_RUN."""
    project: str | None = None
    """A name that groups runs. Variable EMBERTRACE_PROJECT."""
    key: str | None = None
    """The file with this client's key, for an aggregator that asks for one. Variable EMBERTRACE_KEY."""
    capture: Capture = "all"
    """What is kept of values: "all" of arguments and results, only "answers", or "none". EMBERTRACE_CAPTURE."""
    payload_bytes: int = 64 * 1024
    """Bytes kept of one event's values, 256 … 131,072: they must fit into one event. EMBERTRACE_PAYLOAD_BYTES."""
    spool_bytes: int = 64 * 1024 * 1024
    """Bytes of undelivered events this process holds before it is full. EMBERTRACE_SPOOL_BYTES."""
    delivery: Delivery = "spool"
    """Where undelivered events lie: in files, which survive this process, or in its "memory". EMBERTRACE_DELIVERY."""
    spool_dir: str | None = None
    """The directory of those files, for all processes of this user and machine; default
    $XDG_STATE_HOME/embertrace/spool, or ~/.local/state/embertrace/spool. EMBERTRACE_SPOOL_DIR."""
    spool_node_bytes: int = 1024 * 1024 * 1024
    """Bytes of undelivered events in that directory, of all processes together. EMBERTRACE_SPOOL_NODE_BYTES."""
    spool_full: Full = "drop"
    """When the spool is full: "drop" events (and count them), or "block" whoever emits. EMBERTRACE_SPOOL_FULL."""
    spool_block_s: float = 1.0
    """Seconds that "block" waits at most before it drops after all. EMBERTRACE_SPOOL_BLOCK_S."""
    linger_s: float = 2.0
    """Seconds an exiting process waits for its last events to be acknowledged. EMBERTRACE_LINGER_S."""
    collect_bytes: int = 1024 * 1024 * 1024
    """Bytes of events that one in-memory list holds before it drops (and counts). EMBERTRACE_COLLECT_BYTES."""
    redact_keys: tuple[str, ...] = ()
    """Values under keys containing one of these words are not kept. EMBERTRACE_REDACT_KEYS, comma-separated."""
    redact_patterns: tuple[str, ...] = ()
    """Text matching one of these regular expressions is not kept. EMBERTRACE_REDACT_PATTERNS, newline-separated."""
    sample: float = 1.0
    """The share of items that are recorded, 0 … 1, chosen by their keys (docs/sampling.md). EMBERTRACE_SAMPLE."""
    sample_seed: int = 0
    """Runs with one seed choose the same items. 0 … 2⁶⁴ − 1. EMBERTRACE_SAMPLE_SEED."""
    keep_errors: bool = False
    """Of items that are not chosen, whether calls that raise are kept, with their callers. EMBERTRACE_KEEP_ERRORS."""
    stages: tuple[str, ...] = ()
    """Only calls of these stages are recorded: names or patterns ("ensemble_*"); with ! in front, all but these.
    EMBERTRACE_STAGES, comma-separated."""
    types: tuple[str, ...] = ()
    """Only calls of operators of these types, likewise. EMBERTRACE_TYPES."""

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            check_endpoint(self.endpoint)
        for name, choices in (("capture", Capture), ("delivery", Delivery), ("spool_full", Full)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(get_args(choices))}"
                )
        if not 256 <= self.payload_bytes <= 128 * 1024:
            raise ConfigError(f"payload_bytes is {self.payload_bytes}; it must be from 256 to 131072")
        for name in ("spool_bytes", "spool_node_bytes"):
            if getattr(self, name) < 1024 * 1024:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1048576 (1 MiB)")
        for name in ("linger_s", "spool_block_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative")
        if isinstance(self.sample, bool) or not isinstance(self.sample, int | float) or not 0 <= self.sample <= 1:
            raise ConfigError(f"sample is {self.sample!r}; it must be a share of the items, from 0 to 1")
        if type(self.keep_errors) is not bool:
            raise ConfigError(f"keep_errors is {self.keep_errors!r}; it must be True or False")
        if type(self.sample_seed) is not int or not 0 <= self.sample_seed < 1 << 64:
            raise ConfigError(f"sample_seed is {self.sample_seed!r}; it must be an integer from 0 to 2**64 - 1")
        for name in ("stages", "types"):
            patterns = getattr(self, name)
            if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
                raise ConfigError(f"{name} is {patterns!r}; it must be a list of names or patterns")
            object.__setattr__(self, name, tuple(patterns))
        for pattern in self.redact_patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"redact_patterns holds {pattern!r}, no regular expression: {error}") from None

    def travelling(self) -> dict[str, Any]:
        """What a remote process must know: the TRAVELLING settings that are not the default, as they arrive there."""
        values = {name: getattr(self, name) for name in TRAVELLING}
        changed = {name: value for name, value in values.items() if value != getattr(_DEFAULTS, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    def adopting(self, travelled: Mapping[str, Any]) -> Settings:
        """These settings, with what came from another process. Raises ConfigError.

        `delivery` stays "memory" where this process said so itself: it wants no files, whoever calls.
        """
        values: dict[str, Any] = {name: getattr(_DEFAULTS, name) for name in TRAVELLING}
        values["delivery"] = self.delivery
        for name, value in travelled.items():
            if name not in TRAVELLING or type(value) not in (str, int, float, bool, list):
                raise ConfigError(f"a setting {name!r} came with a carrier, and can't be used")
            values[name] = tuple(map(str, value)) if isinstance(value, list) else value
        return dataclasses.replace(self, **values)


_DEFAULTS = Settings()


def check_names(values: Iterable[str]) -> None:
    """Raises ConfigError for names of no setting."""
    unknown = sorted(set(values) - set(Settings.__slots__))
    if unknown:
        raise ConfigError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(Settings.__slots__)}")


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with some values changed. Raises ConfigError."""
    check_names(values)
    return dataclasses.replace(settings, **values)


def check_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint. Raises ConfigError."""
    match = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if match is None or not 0 < int(match[2]) < 65536:
        raise ConfigError(f"endpoint is {endpoint!r}; it must look like tcp://127.0.0.1:5557")
    return match[1], int(match[2])


def from_environment(environment: Mapping[str, str], given: Mapping[str, Any] | None = None) -> Settings:
    """Settings from what is given in code, else from EMBERTRACE_* variables, else defaults. Raises ConfigError."""
    values: dict[str, Any] = dict(given or {})
    for field in dataclasses.fields(Settings):
        text = environment.get(f"EMBERTRACE_{field.name.upper()}")
        if text and field.name not in values:
            values[field.name] = _parse(f"EMBERTRACE_{field.name.upper()}", field.name, text)
    return Settings(**values)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The EMBERTRACE_* variables that are no setting: misspelt, as a rule. In order of their names."""
    known = {f"EMBERTRACE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    return sorted(name for name in environment if name.startswith("EMBERTRACE_") and name not in known)


def endpoint_is_set() -> bool:
    """Whether EMBERTRACE_ENDPOINT asks this process to trace without being told in code."""
    return bool(os.environ.get("EMBERTRACE_ENDPOINT"))


def of_process(given: Mapping[str, Any] | None = None) -> Settings:
    """`from_environment` of this process."""
    return from_environment(os.environ, given)


def _parse(variable: str, field: str, text: str) -> object:
    if field.endswith(("_bytes", "_s", "_seed")) or field == "sample":
        try:
            return int(text) if field.endswith(("_bytes", "_seed")) else float(text)
        except ValueError:
            raise ConfigError(f"{variable} is {text!r}; it must be a number") from None
    if field == "keep_errors":
        if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
            raise ConfigError(f"{variable} is {text!r}; it must be 1 or 0")
        return text.lower() in ("1", "true", "yes")
    if field in ("redact_keys", "stages", "types"):
        return tuple(word.strip() for word in text.split(",") if word.strip())
    if field == "redact_patterns":
        return tuple(line for line in text.split("\n") if line)
    return text
