"""Ray Client: a driver outside the cluster. Ray calls no invocation decorator there, so one is called here.

Everything a client submits goes through `Worker.call_remote`. What has a carrier's keyword in its signature gets one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from embertrace import collect
from embertrace.event import call_id_of_task
from embertrace.ray.ids import TASK_ID_BYTES, cluster
from embertrace.ray.submission import CARRIER, Departure


def hook_client() -> None:
    """Let calls through Ray Client carry the context. Does nothing where Ray's client parts are not installed."""
    try:
        from ray.util.client.worker import Worker
    except ImportError:
        return
    if hasattr(Worker.call_remote, "__embertrace__"):
        return
    call_remote = Worker.call_remote

    @functools.wraps(call_remote)
    def call_with_carrier(self: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        departure = _departure(instance, args, kwargs) if collect.enabled else None
        if departure is None:
            return call_remote(self, instance, *args, **kwargs)
        try:
            futures = call_remote(self, instance, *args, **{**kwargs, CARRIER: departure.packed})
        except BaseException:
            departure.withdraw()
            raise
        futures[0].add_done_callback(functools.partial(_done, departure, cluster()))  # to ask there would wait for ever
        return futures

    call_with_carrier.__embertrace__ = True  # type: ignore[attr-defined]
    Worker.call_remote = call_with_carrier  # type: ignore[method-assign]


def _departure(instance: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Departure | None:
    signature = getattr(instance, "_signature", None)
    if signature is None or CARRIER not in signature.parameters:
        return None
    return Departure.of(args, kwargs)


def _done(departure: Departure, cluster: int, future: Future[bytes]) -> None:
    """The cluster's answer to the submission came, in another thread: the position here is nobody's."""
    if future.exception() is None:
        departure.expect(call_id_of_task(future.result()[:TASK_ID_BYTES], cluster))
    else:
        departure.withdraw()
