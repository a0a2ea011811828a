"""The context as programs see it and say it: `item`, ExecutionContext, and what an OperatorEvent takes from it.

Nothing here is needed to trace a call; all of it is told in plain values, by the positions of `context`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from embertrace import context, event, lineage, payload
from embertrace.context import Context
from embertrace.event import DEFAULT_STAGE, Defaults, call_hex, optional_call_hex


@contextlib.contextmanager
def item(
    key: str | int,
    *,
    truth: Any = None,
    epoch: int | None = None,
    group: str | int | None = None,
    **tags: Any,
) -> Iterator[None]:
    """One item of the data: the unit of all statistics. Calls made inside belong to it, in a trace of their own.

    `truth` is the right answer (or a list of accepted ones), `epoch` numbers repetitions of the same key, `group`
    names a cluster of items that are not independent. Further keywords become tags. Costs nothing when tracing is
    off; safe in threads and asyncio tasks.
    """
    fields = {"key": key, "truth": truth, "epoch": epoch, "group": group}
    present = {name: value for name, value in fields.items() if value is not None}
    outer = context.current.get()
    inherited = context.position()[1]
    if inherited.aside is not None:
        inherited = inherited.aside._replace(arrival=None)  # that was the call that is not recorded
    inside = inherited._replace(
        item=payload.pack(present, lineage.ITEM_BYTES, context.redaction),
        tags=context.merge_tags(inherited.tags, tags),
        trace_id=context.new_trace_id(),
        roots=itertools.count(),
        share=None,
    )
    context.current.set((None, inside.decided(), 0))
    try:
        yield
    finally:
        context.current.set(outer)


class ExecutionContext:
    """The context of the running operator: a stack of frames that follows the code through calls and tasks.

    All methods work on the current execution context; instances hold nothing.
    """

    @contextlib.contextmanager
    def operator(self, op_id: str, op_type: str, stage: str = DEFAULT_STAGE) -> Iterator[None]:
        """Enter a frame without emitting events. `embertrace.operator` also emits."""
        outer = context.current.get()
        parent, scope, _ = context.position()
        entered = context.begin(Context, parent, scope, (op_id, op_type, stage))
        context.withdraw_slot(parent, scope)  # nobody will hear of it, so nobody is to wait for it
        try:
            yield
        finally:
            context.end(outer, entered)

    @staticmethod
    def current() -> dict[str, Any]:
        """The full context: `operators` (frames root → leaf), and `run`, `item`, `tags` where set."""
        where, scope, _ = context.position()
        inherited: dict[str, Any] = {
            "run": scope.run,
            "item": lineage.unpack_mapping(scope.item),
            "tags": lineage.unpack_mapping(scope.tags),
        }
        frames = [frame.as_mapping() for frame in where.frames()] if where is not None else []
        share = {} if scope.share is None or scope.share == 1 else {"share": scope.share}
        return {"operators": frames, **{key: value for key, value in inherited.items() if value}, **share}


def _defaults() -> Defaults:
    """What an OperatorEvent takes from the current call."""
    where, _, _ = context.position()
    if where is None:
        return Defaults(context=ExecutionContext.current())
    trace_id, call_id, parent_id, attempt, parent_attempt, slot, operator_id, operator_type, stage = where.place
    return Defaults(
        operator_id=operator_id,
        operator_type=operator_type,
        stage=stage,
        context=ExecutionContext.current(),
        trace_id=trace_id.hex(),
        call_id=call_hex(call_id),
        parent_call_id=optional_call_hex(parent_id),
        attempt=attempt,
        parent_attempt=parent_attempt,
        slot=slot,
    )


event.install_defaults(_defaults)
