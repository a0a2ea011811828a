"""Tracing remote functions and actor classes that others decorated with ray.remote, and undoing it.

Rules:
- What is submitted is instrumented in place when it is first submitted while tracing is on, whether it was decorated
  before or after. Actors that live already stay as they are.
- Ray's own functions and classes (Data, Serve, Tune and the rest of its libraries) are left alone.
- Workers do the same for what they submit: the roles travel in the carrier.
- `uninstrument` puts everything back, as it was.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ray._private.client_mode_hook import RAY_CLIENT_MODE_ATTR
from ray.actor import ActorClass, _ActorClassMethodMetadata
from ray.remote_function import RemoteFunction

from embertrace import collect
from embertrace.errors import ConfigError
from embertrace.ray import entries, submission
from embertrace.ray.submission import inject
from embertrace.spec import Spec

ROLE_OPTIONS = ("type", "stage", "name", "item", "answer", "capture")
"""Options of `trace` that a role may have: texts, because they travel."""

_lock = threading.Lock()
_originals: dict[type, Callable[..., Any]] = {}
_instrumented: weakref.WeakKeyDictionary[Any, Mapping[str, Any]] = weakref.WeakKeyDictionary()
"""What was changed in place, and the attributes it had before."""


def instrument(roles: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Trace all remote functions and actor classes, also those of other libraries, as if by `embertrace.ray.remote`.

    `roles` says who they are, by the name of the function or class, alone or after its module and a dot:
    `{"ask": {"type": "member"}, "pipeline.Chooser": {"type": "judge", "stage": "judge_1"}}`, with the options type,
    stage, name, item, answer (a field) and capture of `embertrace.trace`. Calling it again changes the roles of what
    is instrumented from then on. Thread-safe. Raises ConfigError for a role that can't be used.
    """
    _install(_checked(roles or {}))


def uninstrument() -> None:
    """Undo `instrument`: functions, classes and Ray are as before. Actors that live already stay traced."""
    with _lock:
        submission.roles = None
        for owner, original in _originals.items():
            owner._remote = original  # type: ignore[attr-defined]
        _originals.clear()
        for target, attributes in _instrumented.items():
            _change(target, attributes)
        _instrumented.clear()


def _install(roles: Mapping[str, Mapping[str, str]]) -> None:
    with _lock:
        submission.roles = roles
        if not _originals:
            _patch(RemoteFunction, _instrument_function)
            _patch(ActorClass, _instrument_class)


def _arrive_with(roles: Mapping[str, Mapping[str, str]]) -> None:
    """In a worker: what it submits is instrumented as at its caller."""
    if submission.roles != roles:
        _install(roles)


entries.on_roles = _arrive_with


def _checked(roles: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    for name, role in roles.items():
        for option, value in role.items():
            if option not in ROLE_OPTIONS or not isinstance(value, str):
                raise ConfigError(
                    f"the role of {name!r} has {option}={value!r}; it takes texts for {', '.join(ROLE_OPTIONS)}"
                )
    return {name: dict(role) for name, role in roles.items()}


def _patch(owner: type, prepare_first: Callable[[Any], None]) -> None:
    original = _originals[owner] = owner._remote  # type: ignore[attr-defined]

    def _remote(self: Any, *args: Any, **kwargs: Any) -> Any:
        if collect.enabled and self not in _instrumented:
            try:
                prepare_first(self)
            except Exception:  # another version of Ray: it is submitted as it is
                collect.report_failure("instrument", self)
        return original(self, *args, **kwargs)

    owner._remote = _remote  # type: ignore[attr-defined]


def _instrument_function(target: Any) -> None:
    function = target._function
    if target._is_cross_language or _is_rays_own(function) or target._decorator is inject:
        return
    with _lock, target._inject_lock:
        if target in _instrumented or submission.roles is None:
            return
        own = target._decorator
        changes = {
            "_function": entries.prepare(function, _role_of(function)),
            "_decorator": inject if own is None else lambda invocation: inject(own(invocation)),
            "_uuid": uuid.uuid4(),  # workers know the plain function by its old one
            "_function_signature": None,
            "_last_export_cluster_and_job": None,
        }
        _instrumented[target] = {name: getattr(target, name) for name in changes}
        _change(target, changes)


def _instrument_class(target: Any) -> None:
    meta = target.__ray_metadata__
    original = meta.modified_class
    if meta.is_cross_language or _is_rays_own(original) or _takes_carriers(original):
        return
    with _lock:
        if target in _instrumented or submission.roles is None:
            return
        changes = {"modified_class": entries.prepare(original, _role_of(original))}
        _instrumented[target] = {"modified_class": original}
        _change(target, changes)


def _change(target: Any, attributes: Mapping[str, Any]) -> None:
    """Give a remote function or actor class other attributes, so that it is exported anew."""
    vars(target).pop(RAY_CLIENT_MODE_ATTR, None)
    if isinstance(target, RemoteFunction):
        vars(target).update(attributes)
        return
    meta = target.__ray_metadata__
    meta.modified_class = attributes["modified_class"]
    _ActorClassMethodMetadata._cache.pop(meta.actor_creation_function_descriptor, None)
    create: Any = _ActorClassMethodMetadata.create
    meta.method_meta = create(meta.modified_class, meta.actor_creation_function_descriptor)
    meta.last_export_cluster_and_job = None


def _takes_carriers(cls: type) -> bool:
    return any(
        getattr(value, "__ray_invocation_decorator__", None) is inject for value in vars(cls.__base__ or cls).values()
    )


def _is_rays_own(target: Any) -> bool:
    module = getattr(target, "__module__", None) or ""
    return module.split(".")[0] in ("ray", "embertrace")


def _role_of(target: Any) -> Spec:
    known = submission.roles or {}
    role = known.get(f"{target.__module__}.{target.__name__}", known.get(target.__name__, {}))
    options: dict[str, Any] = dict(role)
    return Spec(**options)
