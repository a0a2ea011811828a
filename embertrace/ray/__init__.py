"""The crossing into Ray tasks and actors. Only files of this package import ray.

    ids          which call a task is, and so an ObjectRef of it
    submission   in the caller's process: a carrier is added to the arguments, links are found among them
    entries      in the worker: the carrier is taken out, and the traced function runs at its position
    instrument   the same for remote functions and actor classes that others decorated
    cluster      where an embedded aggregator is reached from, and how workers get its key
    client       the same through Ray Client, where Ray's own hook is not called

`embertrace.ray.remote` stands where `ray.remote` stood and returns what `ray.remote` returns: a real RemoteFunction
or ActorClass.
"""

from __future__ import annotations

import inspect
from typing import Any

from embertrace.errors import MissingExtraError

try:
    import ray
except ImportError:
    raise MissingExtraError("tracing on Ray", "ray") from None

from embertrace import continuation, crossing, embedded
from embertrace.ray import cluster
from embertrace.ray.client import hook_client
from embertrace.ray.entries import prepare
from embertrace.ray.ids import call_id_of
from embertrace.ray.instrument import instrument, uninstrument
from embertrace.ray.submission import CARRIER


def remote(*target: Any, **options: Any) -> Any:
    """Use it like `ray.remote`: on functions and actor classes, with or without options. They are traced.

    Together with `@embertrace.trace(...)` below it, it is one call with that decoration's stage, type and name.
    Public methods of actor classes are traced; those that are not the traced operator itself are no members.
    """
    if target:
        return _with_its_signature(ray.remote(prepare(target[0])), target[0])
    with_options = ray.remote(**options)
    return lambda decorated: _with_its_signature(with_options(prepare(decorated)), decorated)


def _with_its_signature(made: Any, target: Any) -> Any:
    """What Ray made, whose `remote` shows the signature of `target`, without the carrier."""
    if inspect.isroutine(target) and hasattr(made, "remote"):
        made.remote.__signature__ = inspect.signature(target)
    return made


hook_client()
continuation.call_of_reference = call_id_of
embedded.address_beyond = cluster.address_beyond
crossing.publish_key = cluster.publish
crossing.fetch_key = cluster.fetch

__all__ = ["CARRIER", "call_id_of", "instrument", "remote", "uninstrument"]
