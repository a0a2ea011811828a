"""Submission, in the caller's process: the carrier goes along as one flat keyword argument.

Rules:
- Ray calls a function's `__ray_invocation_decorator__` around each submission (of tasks and of actor methods, in any
  process that holds the handle): `inject` is that decorator.
- Other arguments are not touched: Ray resolves ObjectRefs only at the top level.
- ObjectRefs among the arguments are links: this call consumes those calls' results.
- A submission that Ray refuses (a missing argument, one that can't be pickled) is Ray's own error, and leaves no trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ray import ObjectRef, ObjectRefGenerator

from embertrace import collect, context, crossing
from embertrace.context import Context, Scope, pack_item
from embertrace.crossing import Place
from embertrace.ray.ids import call_id_of
from embertrace.spec import Spec, argument
from embertrace.unrecorded import decide

CARRIER = "_embertrace"
"""Name of the keyword argument that carries the context."""
LINK_DEPTH = 2
"""How deep ObjectRefs are looked for in lists, tuples and dictionaries among the arguments."""
MAX_LINKED_ELEMENTS = 1024
"""Elements looked at for ObjectRefs, so that a submission never walks a data set."""
_HOLDING_NONE = frozenset({str, int, float, bool, bytes, type(None)})
"""What most arguments are."""

Invocation = Callable[[Sequence[Any], dict[str, Any]], Any]

roles: Mapping[str, Mapping[str, str]] | None = None
"""The roles of `instrument`, which travel on, so that workers instrument what they submit themselves; None: not on."""


def inject(invocation: Invocation, spec: Spec | None = None) -> Invocation:
    """Ray's invocation decorator: submit with a carrier, wherever events of the calling code go to an aggregator.

    `spec` says which argument is the item's key, where one is.
    """

    def submit(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        departure = Departure.of(args, kwargs, spec) if collect.enabled else None
        if departure is None:
            return invocation(args, kwargs)
        try:
            packed = departure.packed
            references = invocation(args, {**kwargs, CARRIER: packed} if kwargs else {CARRIER: packed})
        except BaseException:
            departure.withdraw()
            raise
        departure.done(references)
        return references

    return submit


class Departure(NamedTuple):
    """One submission, from its carrier to its ObjectRefs."""

    packed: bytes
    place: Place
    parent: Context | None
    scope: Scope
    links: tuple[int, ...]

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any] | None, spec: Spec | None = None) -> Departure | None:
        """A submission from here with these arguments; None where its events have nowhere to go. Never raises."""
        try:
            position = parent, scope, follows = context.position()
            if context.sampling is not None and scope.share is None:
                if not crossing.reaches(scope):
                    return None
                scope = _decided(spec, parent, scope, tuple(args), kwargs or {})
                position = parent, scope, follows
            place = crossing.place_of(parent, scope, roles)
            if place is None:
                return None
            links = _links(args, kwargs)
            slot = context.next_slot(parent, scope)
        except Exception:  # a failure of tracing must not stop the submission
            collect.report_failure("submit", "remote")
            return None
        try:
            return cls(crossing.depart(place, position, slot, links), place, parent, scope, links)
        except Exception:  # a failure of tracing must not stop a submission
            context.withdraw_slot(parent, scope)
            collect.report_failure("submit", "remote")
            return None

    def done(self, references: Any) -> None:
        """Ray took it. What is submitted next in this execution context follows it."""
        first = references[0] if type(references) is list and references else references
        if isinstance(first, (ObjectRef, ObjectRefGenerator)):
            call_id = call_id_of(first)
            if self.links or self.place.lists:
                self.expect(call_id)
            where, scope, _ = context.current.get()
            context.current.set((where, scope, call_id))

    def expect(self, call_id: int) -> None:
        """The call's id is known: whoever collects events waits for it, and links are told that had no room."""
        for events in self.place.lists:
            events.expected[call_id] = None
        try:
            if self.links:
                crossing.tell_links(self.packed, self.links, call_id, self.parent, self.scope)
        except Exception:  # a failure of tracing must not undo a submission
            collect.report_failure("submit", "remote")

    def withdraw(self) -> None:
        """Ray did not take it."""
        context.withdraw_slot(self.parent, self.scope)


def _decided(
    spec: Spec | None, parent: Context | None, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Scope:
    """`scope` with the decision whether the call that is submitted is recorded, and all below it with it."""
    if spec is not None and spec.item is not None and parent is None and not scope.item:
        scope = scope._replace(item=pack_item(argument(spec, spec.item, args, kwargs)))
    return decide(scope, parent, args, kwargs)


def _links(args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The calls whose ObjectRefs are among the arguments, or in lists, tuples and dictionaries LINK_DEPTH levels below
    them."""
    level: Sequence[Any] = [*args, *kwargs.values()] if kwargs else args
    if _HOLDING_NONE.issuperset(map(type, level)):
        return ()
    found: dict[int, None] = {}
    for _ in range(LINK_DEPTH + 1):
        inner: list[Any] = []
        for value in level if len(level) <= MAX_LINKED_ELEMENTS else level[:MAX_LINKED_ELEMENTS]:
            kind = type(value)
            if kind in _HOLDING_NONE:
                continue
            if kind is list or kind is tuple:
                inner.extend(value[:MAX_LINKED_ELEMENTS])
            elif kind is dict:
                inner.extend(itertools.islice(value.values(), MAX_LINKED_ELEMENTS))
            elif issubclass(kind, (ObjectRef, ObjectRefGenerator)):
                found[call_id_of(value)] = None
        if not inner:
            break
        level = inner
    return tuple(found)
