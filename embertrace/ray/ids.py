"""Which call a Ray task is.

Rules:
- It follows from the task's id: all attempts of the task are attempts of one call, and any ObjectRef of it names it.
- Ray makes task ids of a job's number and of counts in it, so that the first task of every cluster has the same one.
  What tells clusters apart is the name of Ray's session, which all that are connected to one know.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from typing import Any

from ray import ObjectRefGenerator
from ray._private.worker import global_worker

from embertrace import collect
from embertrace.event import call_id_of_task

TASK_ID_BYTES = 24
"""An ObjectRef's id begins with the id of the task that made it. Ray's own way to that makes an object of it first."""

_of_clients: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
"""The clusters of connections through Ray Client: to ask for one takes a round trip."""


def cluster() -> int:
    """The number of the cluster that this process is connected to, 0 where it is to none. Asked for each time:
    `ray.init` may have followed `ray.shutdown`."""
    node: Any = global_worker.node
    return _of_client() if node is None else _number(node.session_name)


def call_id_of(reference: Any) -> int:
    """The id of the call whose result an ObjectRef (or a streaming generator of them) is."""
    of_task = reference._generator_ref if isinstance(reference, ObjectRefGenerator) else reference
    return call_id_of_task(of_task.binary()[:TASK_ID_BYTES], cluster())


@functools.lru_cache(16)
def _number(session: str) -> int:
    return int.from_bytes(hashlib.blake2b(session.encode(), digest_size=8).digest(), "big")


def _of_client() -> int:
    try:
        from ray.util.client import ray as connected
    except ImportError:  # Ray Client is not installed
        return 0
    client: Any = connected
    if not client.is_connected():
        return 0
    worker = client.get_context().client_worker
    found = _of_clients.get(worker)
    if found is None:
        try:
            found = _of_clients[worker] = _number(worker.internal_kv_get(b"session_name", b"session").decode())
        except Exception:  # a failure of tracing must not stop a submission
            collect.report_failure("submit", "remote")
            return 0
    return found
