"""Calls that are not recorded: of items that were not chosen, and of stages and types that are filtered out.

Rules:
- One decision per trace, taken where it begins: at an item, else at the root call. It stands in the scope, and goes
  wherever the scope goes.
- Without `keep_errors` nothing is done in the calls of an item that was not chosen. With it they are held back: should
  one of them raise, it is told with all calls above it, which then tell their ends too.
- A call that is filtered out is a call all the same: what runs below it stands below it, and its caller says that it
  does not show all of its calls.
- Like `traced`, nothing here raises into an operator: `enter` catches what goes wrong.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from embertrace import collect, context, payload
from embertrace.context import NO_SCOPE, NOBODY, Context, Names, Position, Scope
from embertrace.event import METRIC
from embertrace.running import Call, Held, added, whole
from embertrace.spec import Spec
from embertrace.wire.calls import pack_call, pack_place
from embertrace.wire.context import pack_context
from embertrace.wire.event import pack_event

_latest: tuple[Scope, Scope] = (NO_SCOPE, NO_SCOPE)
"""The latest scope in which a root was chosen, and that of the root: the roots of a run mostly come in a row."""


def decide(scope: Scope, parent: Context | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Scope:
    """`scope` for a call that begins in it. A root without an item is chosen by its arguments, or by chance."""
    global _latest
    sampling = context.sampling
    if sampling is None or sampling.share == 1 or scope.share is not None or type(parent) is Call:
        return scope
    key: object = context.new_trace_id()
    if (args or kwargs) and not scope.item:
        key = payload.digest(collect.pack_arguments(args, kwargs))
    decided = scope.decided(key)
    if decided.aside is not None or scope.item:
        return decided
    if _latest[0] is not scope:
        _latest = scope, decided
    return _latest[1]


def pass_over(
    spec: Spec, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], outer: Position, scope: Scope
) -> Call | None:
    """Begin a call of an item that was not chosen; None where there is nothing to be done about it."""
    parent = outer[0]
    keeps = context.sampling is not None and context.sampling.keep_errors
    is_known = scope is outer[1]
    if is_known and not keeps:
        return None
    if not is_known and parent is None and scope.arrival is not None and scope.aside and scope.aside.begun is not None:
        scope.aside.begun.withdraw()  # whoever submitted it to a thread counted it
    names, tags = spec.identity(instance) if keeps else (("", "", ""), {})
    if tags:
        scope = scope._replace(tags=context.merge_tags(scope.tags, tags))
    call = _begin(spec, instance, outer, parent, scope, names)
    if keeps and context.sampling is not None and context.sampling.records(*names[1:]):
        call.held = Held(scope, tags, args, kwargs)
    return call


def filter_out(
    spec: Spec,
    instance: object,
    outer: Position,
    scope: Scope,
    names: Names,
    tags: Mapping[str, Any],
) -> Call:
    """Begin a call that a filter keeps from being recorded, and let nobody wait for it."""
    parent = outer[0]
    if tags:
        scope = scope._replace(tags=context.merge_tags(scope.tags, tags))
    call = _begin(spec, instance, outer, parent, scope, names)
    call.is_recorded = False
    if parent is None and scope.begun is not None:
        scope.begun.withdraw()
    elif parent is not None and parent.announced is collect.destination_of(scope):
        context.withhold(parent)  # whose end, told from here, says so
    elif parent is not None or scope.arrival is not None:
        _tell(call, scope)
    return call


def _begin(
    spec: Spec,
    instance: object,
    outer: Position,
    parent: Context | None,
    scope: Scope,
    names: Names,
) -> Call:
    call = context.begin(Call, parent, scope, names)
    call.owner, call.spec, call.outer, call.destination = instance, spec, outer, NOBODY
    call.started_ns = time.perf_counter_ns()
    return call


def _tell(call: Call, scope: Scope) -> None:
    """Say that a call is not recorded, where the end of its caller is told by another process, which can't know."""
    parent = call.parent
    if parent is not None and not parent.is_recorded:
        return  # nobody hears of that one either
    about = whole(parent, scope)._replace(withheld=1)
    packed = pack_event((METRIC, time.time_ns(), *call.place, None, 0, 0, None, pack_context(about), b""))
    collect.destination_of(scope).put(packed)


def announce(call: Call) -> None:
    """Tell that a held call began, and before it all those above: from now on they tell their ends as well."""
    if call.held is None or call.destination is not NOBODY or call.held.scope.aside is None:
        return
    destination = collect.destination_of(call.held.scope.aside)
    path: list[Call] = []
    above: Context | None = call
    while isinstance(above, Call) and above.destination is NOBODY:
        path.append(above)
        above = above.parent
    for one in reversed(path):
        if one.held is not None:
            _announce(one, one.held)
            one.destination = one.announced = destination


def _announce(call: Call, held: Held) -> None:
    """The call event of a held call, with its arguments as they are now."""
    parent, spec = call.parent, call.spec
    assert held.scope.aside is not None, "held calls are those of items that were not chosen"
    destination = collect.destination_of(held.scope.aside)
    begun_ns = time.time_ns() - (time.perf_counter_ns() - call.started_ns)
    keeps_arguments = (spec.capture or collect.settings.capture) == "all"
    about = added(parent, held.scope, held.tags, spec.member, destination)
    data = collect.pack_arguments(held.args, held.kwargs) if keeps_arguments else b""
    call.packed_place = pack_place(call, parent)
    destination.put(pack_call(begun_ns, call.packed_place, call.outer[2], None, about, data))
