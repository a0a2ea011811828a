"""The hot path: the two events around one traced call.

Rules:
- Tracing never raises into an operator: `enter`, `finish` and `fail` log (once) and swallow what goes wrong in them.
- `enter` moves the position into the call and emits `call`; `finish` or `fail` emit the end and move it back out.
- Nothing is computed before it is known that somebody wants the events.
- At the limit of recursion nothing can be called, not even to say so. A call that can't begin there is withdrawn from
  its parent, and one whose end can't be emitted is left with its parent, which emits it when it ends itself. A parent
  in another process does not end here: that end is lost.
- An event is packed once, here, and handed on as bytes, to one sink: several are one to whoever emits.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Mapping
from typing import Any

from embertrace import collect, context
from embertrace.config import Capture
from embertrace.context import NO_SCOPE, NOBODY, Context, Position
from embertrace.event import ERROR, RESULT
from embertrace.running import Call, added
from embertrace.spec import Spec, argument, extract_answer
from embertrace.unrecorded import announce, decide, filter_out, pass_over
from embertrace.wire.calls import NO_CONTEXT, pack_call, pack_end, pack_place
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import MAX_LINKS

MAX_TRACEBACK_FRAMES = 64
"""The innermost frames of each traceback; recursion repeats the others, and every level of it would format them all."""
MAX_TRACEBACK_CHARS = 8192


def enter(
    spec: Spec,
    instance: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Call | None:
    """Begin a call: a new position and its call event. None where nobody wants its events. Never raises."""
    outer = context.current.get()
    call: Call | None = None
    try:
        parent, scope, follows = outer
        if scope is NO_SCOPE:
            scope = context.ground
        destination = collect.sink if scope.sink is None else scope.sink
        if destination is NOBODY:
            return None if scope.aside is None else pass_over(spec, instance, args, kwargs, outer, scope)
        names, tags = spec.identity(instance)
        if spec.item is not None and parent is None and not scope.item:
            scope = scope._replace(item=context.pack_item(argument(spec, spec.item, args, kwargs)))
        if context.sampling is not None:
            scope = decide(scope, parent, args, kwargs)
            if scope.aside is not None:
                return pass_over(spec, instance, args, kwargs, outer, scope)
            if not context.sampling.records(*names[1:]):
                return filter_out(spec, instance, outer, scope, names, tags)
        if tags:
            scope = scope._replace(tags=context.merge_tags(scope.tags, tags))
        call = context.begin(Call, parent, scope, names)
        call.owner, call.spec, call.outer, call.destination = instance, spec, outer, destination
        links = scope.arrival.links[:MAX_LINKS] or None if scope.arrival is not None else None
        is_known = parent is not None and parent.announced is destination and not tags and spec.member
        about = NO_CONTEXT if is_known else added(parent, scope, tags, spec.member, destination)
        data = b"" if (spec.capture or collect.settings.capture) != "all" else collect.pack_arguments(args, kwargs)
        call.packed_place = place = pack_place(call, parent)
        destination.put(pack_call(time.time_ns(), place, follows, links, about, data))
        call.announced = destination
        if spec.metrics:
            call.arguments = (args, kwargs)
        call.started_ns = time.perf_counter_ns()
        return call
    except RecursionError:
        if call is not None and call.parent is not None:
            call.parent.withdrawn += 1
        elif call is not None and scope.begun is not None:
            next(scope.begun.withdrawn)
        context.current.set(outer)
        return None
    except Exception:  # a failure of tracing must not become the operator's
        context.current.set(outer)
        if call is not None:
            context.withdraw_slot(call.parent, scope)
        collect.report_failure("begin", spec)
        return None


def finish(call: Call, result: Any, outer: Position | None = None) -> None:
    """End a call with its result, and go back to where it began (a generator: to who resumed it last)."""
    duration = time.perf_counter_ns() - call.started_ns
    try:
        if context.current.get()[0] is not call:
            context.resume(call)
        if call.arguments is not None:
            _score(call.spec, result, *call.arguments)
        if call.unended is not None:
            _emit_left(call)
        if call.destination is not NOBODY:
            _emit_end(call, RESULT, duration, _result_data(call, result))
    except RecursionError:
        if (parent := call.parent).__class__ is Call:
            call.end, call.sibling, parent.unended = (RESULT, duration, result), parent.unended, call
    except Exception:  # as in enter
        collect.report_failure("finish", call.spec)
    call.owner = None
    context.end(outer or call.outer, call)


def fail(call: Call, error: BaseException, outer: Position | None = None) -> None:
    """End a call with its error, which the wrapper raises on unchanged; otherwise as `finish`."""
    duration = time.perf_counter_ns() - call.started_ns
    try:
        if context.current.get()[0] is not call:
            context.resume(call)
        if call.held is not None:
            announce(call)
        if call.unended is not None:
            _emit_left(call)
        if call.destination is not NOBODY:
            _emit_end(call, ERROR, duration, _error_data(error))
    except RecursionError:
        if (parent := call.parent).__class__ is Call:
            call.end, call.sibling, parent.unended = (ERROR, duration, error), parent.unended, call
    except Exception:  # as in enter
        collect.report_failure("fail", call.spec)
    call.owner = None
    context.end(outer or call.outer, call)


def state(spec: Spec, result: Any) -> None:
    """A call of which only the result is known: its two events, without arguments or a duration. Never raises."""
    call = enter(dataclasses.replace(spec, capture=_answers_at_most(spec)), None, (), {})
    if call is None:
        return
    try:
        if call.destination is not NOBODY:
            _emit_end(call, RESULT, None, _result_data(call, result))
    except Exception:  # as in enter
        collect.report_failure("state", spec)
    context.current.set(call.outer)  # nothing ran: it is not what came before the next one


def _answers_at_most(spec: Spec) -> Capture:
    return "none" if (spec.capture or collect.settings.capture) == "none" else "answers"


def abandon(call: Call, error: GeneratorExit) -> None:
    """End a call whose coroutine is closed, maybe by whoever runs just then: they keep their own position."""
    running = context.current.get()
    fail(call, error)
    above = running[0]
    while above is not None and above is not call:
        above = above.parent
    if above is None:
        context.current.set(running)


def _score(spec: Spec, result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Call the attached metrics; one that raises (a truth is missing, say) scores nothing."""
    for metric in spec.metrics:
        try:
            metric(result, _input(spec, args, kwargs))
        except Exception:
            collect.report_failure("score", spec)


def _emit_end(call: Call, kind: int, duration: int | None, data: bytes) -> None:
    slots = 0 if call.slots is None else next(call.slots) - call.withdrawn
    try:
        about = pack_context(Added(withheld=call.withheld)) if call.withheld else b""
        call.destination.put(pack_end(kind, time.time_ns(), call.packed_place, duration, slots, about, data))
    except RecursionError:
        if call.slots is not None:
            call.withdrawn += 1  # it is left, and counts its slots once more
        raise


def _emit_left(parent: Context) -> None:
    """Emit the ends that calls below left behind at the limit of recursion; there may be room for it now.

    Each is left until it is emitted, and no longer (between the two nothing is called, which could fail): if room runs
    out in the middle, the next one up goes on with the rest.
    """
    while (call := parent.unended) is not None:
        if (below := call.unended) is not None:  # first the ends below it, which move up one by one
            call.unended, below.sibling, parent.unended = below.sibling, call, below
            continue
        kind, duration, outcome = call.end
        try:
            if kind == ERROR and call.held is not None:
                announce(call)
            if call.destination is not NOBODY:
                _emit_end(call, kind, duration, _result_data(call, outcome) if kind == RESULT else _error_data(outcome))
        except RecursionError:
            raise
        except Exception:  # it costs this end, and none of the others
            collect.report_failure("end", call.spec)
        parent.unended = call.sibling


def _result_data(call: Call, result: Any) -> bytes:
    spec = call.spec
    capture = spec.capture or collect.settings.capture
    if capture == "none":
        return b""
    if spec.answer is None and call.yielded is None:
        return collect.pack_result(result)
    data: dict[str, Any] = {}
    if spec.answer is not None:
        try:
            data["answer"] = extract_answer(spec.answer, call.yielded.values() if call.yielded else result)
        except Exception as error:  # said in the event, so that the analysis can count and show it
            data["answer_error"] = f"{type(error).__name__}: {error}"
    if capture == "all" or spec.answer is None:
        if call.yielded is not None:
            data["yielded"], result = call.yielded.count, call.yielded.values()
        data["result"] = result
    return collect.pack_data(data)


def _error_data(error: BaseException) -> bytes:
    try:
        lines = "".join(
            traceback.format_exception(type(error), error, error.__traceback__, limit=-MAX_TRACEBACK_FRAMES)
        )
        message = str(error)
    except RecursionError:
        raise
    except Exception as broken:  # an exception whose __str__ raises still has a type
        lines, message = "", f"<str() raised {type(broken).__name__}>"
    described = {"type": type(error).__name__, "message": message, "traceback": lines[-MAX_TRACEBACK_CHARS:]}
    return collect.pack_data({"error": described})


def _input(spec: Spec, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a metric looks its truth up in: the first mapping among the arguments, else the arguments by name."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Mapping):
            return value
    names = spec.parameters
    return {**dict(zip(names, args, strict=False)), **kwargs}
