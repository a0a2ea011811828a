"""What a call answered, as a key by which answers are compared.

Rules:
- The answer is what the operator extracted (`data["answer"]`), else its result. Its key is canonical msgpack, so
  list = tuple, maps ignore order, and 1, 1.0 and "1" differ.
- A rule changes what is compared: "str", "casefold", "number", "regex:PATTERN", the name of a field, or (local
  only) a callable. A rule that finds nothing in a text says that the call abstained.
- None is an abstention, and so is whatever `Abstaining` names.
- A value known only by its repr, or cut where nothing was hashed, is unknown: never equal to anything, never wrong,
  and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from embertrace.analysis.calls import Call
from embertrace.analysis.patterns import Pattern
from embertrace.errors import QueryError, WireError
from embertrace.payload import Cut, Summary, canonical, digest_of_text, unpack

PlainRule = str | Callable[[Any], Any] | None


class Abstaining(NamedTuple):
    """A rule, and values that are no answers under it: whoever gives one of them abstained."""

    rule: PlainRule
    values: tuple[Any, ...]


Rule = PlainRule | Abstaining


class Answer(NamedTuple):
    """`key` is set exactly where the status is "answered"."""

    status: Literal["answered", "abstained", "unknown"]
    key: bytes | None = None


ABSTAINED, UNKNOWN = Answer("abstained"), Answer("unknown")


class _Nothing(Exception):
    """A rule met a value that holds no answer for it, or whose answer it can't know."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Answers:
    """Answers under one rule. Keys are kept per call, for one question. Raises QueryError for a rule nobody knows."""

    def __init__(self, rule: Rule = None) -> None:
        rule, abstentions = rule if isinstance(rule, Abstaining) else (rule, ())
        self._rule = rule
        self._apply = rule_named(rule)
        self._field = rule if isinstance(rule, str) and rule not in _NAMED and not rule.startswith("regex:") else None
        self._kept: dict[tuple[int, int], Answer] = {}
        self._abstentions = {key for value in abstentions if (key := self._truth_key(value)) is not None}

    @property
    def name(self) -> str | None:
        """A text that stands for the rule, and for no other; None for a callable."""
        if callable(self._rule):
            return None
        return f"{self._rule!r} but {sorted(self._abstentions)}" if self._abstentions else repr(self._rule)

    def of(self, call: Call) -> Answer:
        """The answer of a call that ended with a result."""
        answer = self._kept.get(call.key)
        if answer is None:
            answer = self._kept[call.key] = self.of_data(call.data)
        return answer

    def of_value(self, value: Any) -> Answer:
        found = self._ruled(value)
        return ABSTAINED if found.key in self._abstentions else found

    def _ruled(self, value: Any) -> Answer:
        """What a value is under the rule, whether or not it counts as an abstention: a truth never does."""
        try:
            value = self._apply(value)
        except _Nothing as nothing:
            return nothing.answer
        if value is None:
            return ABSTAINED
        return Answer("answered", canonical(value)) if is_known(value) else UNKNOWN

    def accepts(self, truth: Any, key: bytes) -> bool:
        """Whether an answer key is the truth's, or that of one of several accepted values (a list)."""
        return self.accepting(truth)(key)

    def accepting(self, truth: Any) -> Callable[[bytes], bool]:
        """Which answer keys a truth accepts: a test of one."""
        accepted = [*truth] if isinstance(truth, list | tuple | set | frozenset) else [truth]
        if self._rule is None and accepted != [truth]:
            accepted.append(truth)  # answers may be lists themselves
        keys, cut = {self._truth_key(value) for value in accepted}, [one for one in accepted if isinstance(one, Cut)]
        return lambda key: key in keys or any(_is_whole_of(value, key) for value in cut)

    def asked_for(self, truth: Any) -> tuple[bytes | None, Any]:
        """What a truth asks for, of several accepted ones the first: its key or None if it is no answer; and itself."""
        value = truth[0] if isinstance(truth, list | tuple) and truth else truth
        return self._truth_key(value), value

    def _truth_key(self, value: Any) -> bytes | None:
        """A truth under the rule; where a field or a callable is for results, the truth as it stands."""
        if isinstance(value, Cut):
            return canonical(value)
        if self._field is None and not callable(self._rule):
            return self._ruled(value).key
        try:
            answer = self._ruled(value)
        except Exception:  # the user's callable takes results, and a truth is none
            return canonical(value)
        return answer.key if answer.status == "answered" else canonical(value)

    def of_data(self, data: Mapping[str, Any]) -> Answer:
        """The answer that the data of an end event hold."""
        if "answer_error" in data:
            return UNKNOWN  # it could not be extracted, and the whole result is no answer
        if "answer" not in data and "result" not in data:
            return UNKNOWN  # the payload was not captured
        if self._field is not None:
            for name in ("result", "answer"):
                if self._field in _fields(data.get(name)):
                    return self.of_value(data[name])
        return self.of_value(data["answer"] if "answer" in data else data["result"])


def _is_whole_of(truth: Cut, key: bytes) -> bool:
    """Whether a truth that was cut is that of an answer that was not: by its length and digest."""
    if truth.type != "str":
        return False
    try:
        answer = unpack(key)
    except WireError:  # a key that can't be read back, as a mapping's: no text
        return False
    return isinstance(answer, str) and len(answer) == truth.length and digest_of_text(answer) == truth.digest


def is_readable(key: bytes) -> bool:
    """Whether a key says what it is of: those of mappings and of cut values don't."""
    try:
        unpack(key)
    except WireError:
        return False
    return True


def is_known(value: Any) -> bool:
    """Whether a payload says enough of the value it came from to be compared."""
    if isinstance(value, Cut):
        return value.digest is not None
    if isinstance(value, Summary):
        about = value.about
        if "fields" in about:
            return is_known(about["fields"])
        return any(name in about for name in ("digest", "values", "id", "message"))
    if isinstance(value, dict):
        return all(is_known(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(is_known(part) for part in value)
    return True


def rule_named(rule: PlainRule) -> Callable[[Any], Any]:
    """The function of a rule. Raises QueryError."""
    if rule is None:
        return lambda value: value
    if callable(rule):
        return lambda value: None if value is None else rule(value)
    if not isinstance(rule, str) or not rule:
        raise QueryError(f"answer={rule!r} is no rule; use 'str', 'casefold', 'number', 'regex:…' or a field's name")
    if rule.startswith("regex:"):
        return _regex(rule.removeprefix("regex:"))
    return _NAMED.get(rule) or (lambda value: _field_of(value, rule))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not is_known(value):
        raise _Nothing(UNKNOWN)
    if isinstance(value, Cut):  # equal cuts are equal texts, but what lies between the edges can't be read
        raise _Nothing(UNKNOWN)
    return str(value)


def _casefold(value: Any) -> str | None:
    text = _text(value)
    return None if text is None else text.strip().casefold()


_NUMBER = re.compile(
    r"((?<![\w.)\]%])[-−+])?[$€£¥]?((?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?)"
)
"""A sign, which is none right behind a word or a number (GPT-4, 3-4), perhaps a currency, and a number."""
MAX_DIGITS = 1000
"""Longer ones are no answers, and Python refuses to read them."""


def _number(value: Any) -> str | None:
    """The number a value is, or the last one in its text, as an exact fraction: "1,200.0", 1200 and 1.2e3 are equal."""
    found = _NUMBER.findall(_text(value) or "")
    if not found or len(found[-1][1]) > MAX_DIGITS:
        return None
    sign, digits = found[-1]
    fraction = Fraction(digits.replace(",", "")) * (-1 if sign in ("-", "−") else 1)
    return f"{fraction.numerator}/{fraction.denominator}"


def _regex(pattern: str) -> Callable[[Any], Any]:
    compiled = Pattern(pattern)
    return lambda value: compiled.find(_text(value) or "")


def _fields(value: Any) -> dict[Any, Any]:
    if isinstance(value, Summary):
        value = value.about.get("fields")
    return value if isinstance(value, dict) else {}


def _field_of(value: Any, name: str) -> Any:
    if value is None:
        return None
    fields = _fields(value)
    if name not in fields:
        raise _Nothing(UNKNOWN)
    return fields[name]


_NAMED: dict[str, Callable[[Any], Any]] = {"str": _text, "casefold": _casefold, "number": _number}
