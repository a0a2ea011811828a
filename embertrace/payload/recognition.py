"""What is known of values that are of no plain type, told by looking at them with care.

Rules:
- A rule looks at attributes and never follows methods of the value that could be long, or have effects.
- Rules may raise, whatever the value does when it is looked at: the next one may get along with it.
- Nothing is imported to recognise something: what isn't loaded, no value can be of.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import pathlib
import re
import sys
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from embertrace.payload.digests import EDGE_HASH_BYTES, WHOLE_HASH_BYTES, digest

SMALL_ARRAY = 64
"""Arrays of at most this many elements are kept whole beside their digest."""
REPR_CHARS = 200


@dataclasses.dataclass(slots=True)
class Plain:
    """A recognised value that has a plain form."""

    value: Any


@dataclasses.dataclass(slots=True)
class About:
    """A recognised value that is summarised."""

    about: dict[str, Any]


def _standard(value: Any) -> Plain | None:
    if isinstance(value, enum.Enum):
        return Plain(value.value)
    if isinstance(value, bool | int | float | str | bytes):  # subclasses of plain types, numpy.float64 among them
        return Plain(next(plain for base, plain in _PLAIN_FORMS if isinstance(value, base))(value))
    if isinstance(value, datetime.date | datetime.time):
        return Plain(value.isoformat())
    if isinstance(value, datetime.timedelta):
        return Plain(value.total_seconds())
    if isinstance(value, uuid.UUID | pathlib.PurePath):
        return Plain(str(value))
    if isinstance(value, dict):
        return Plain(dict.copy(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Plain(dict(zip(value._fields, value, strict=False)))
    if isinstance(value, list | tuple | set | frozenset):
        return Plain(next(plain for base, plain in _PLAIN_FORMS if isinstance(value, base))(value))
    return None


_WHOLE = slice(None)
_PLAIN_FORMS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: bytes.__getitem__(value, _WHOLE)),
    (list, lambda value: list.__getitem__(value, _WHOLE)),
    (tuple, lambda value: tuple.__getitem__(value, _WHOLE)),
    (set, set),
    (frozenset, frozenset),
)
"""Subclasses of plain types as these: by the base's own methods, whatever the subclass made of them."""


def _numpy(value: Any) -> Plain | About | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.generic):
        plain = value.item()
        return None if isinstance(plain, numpy.generic) else Plain(plain)
    if not isinstance(value, numpy.ndarray):
        return None
    about: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    if not value.dtype.hasobject:
        flat = value.reshape(-1)
        if value.nbytes > WHOLE_HASH_BYTES:  # slices before bytes: never a copy of the whole array
            edge = max(1, EDGE_HASH_BYTES // value.itemsize)
            about["digest"] = digest(
                flat[:edge].tobytes() + flat[-edge:].tobytes() + value.nbytes.to_bytes(8, "little")
            )
        else:
            about["digest"] = digest(value.tobytes())
        if value.size <= SMALL_ARRAY:
            about["values"] = value.tolist()
    return About(about)


def _exception(value: Any) -> About | None:
    return About({"message": _short_str(value)}) if isinstance(value, BaseException) else None


def _record(value: Any) -> About | None:
    """Dataclasses, pydantic models and attrs classes, as mappings of their fields (not followed into methods)."""
    kind = type(value)
    names: Iterable[str] | None = None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
    elif isinstance(getattr(kind, "model_fields", None), dict):
        names = kind.model_fields
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    return None if names is None else About({"fields": {name: getattr(value, name, None) for name in names}})


def _object_ref(value: Any) -> About | None:
    if type(value).__name__ == "ObjectRef" and type(value).__module__.startswith("ray"):
        return About({"id": value.hex()})
    return None


def _tensor(value: Any) -> About | None:
    """JAX, torch and friends: shape and dtype; their values may live on a device."""
    if type(value).__module__.partition(".")[0] in ("jax", "jaxlib", "torch", "tensorflow"):
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is not None and dtype is not None:
            return About({"dtype": str(dtype), "shape": [int(side) for side in shape]})
    return None


RECOGNISERS: tuple[Callable[[Any], Plain | About | None], ...] = (
    _standard,
    _numpy,
    _tensor,
    _exception,
    _object_ref,
    _record,
)


def type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _short_str(value: Any) -> str:
    try:
        text = str(value)
    except Exception as error:  # a broken __str__ is the user's; what is known is its type
        return f"<{type(value).__name__}: str() raised {type(error).__name__}>"
    return _clip(text)


def short_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # as above
        return f"<{type(value).__name__}: repr() raised {type(error).__name__}>"
    return _clip(text)


def _clip(text: str) -> str:
    """Memory addresses differ from run to run and say nothing; they are taken out so that equal things look equal."""
    clipped = text if len(text) <= REPR_CHARS else f"{text[: REPR_CHARS - 60]}…{text[-59:]}"
    return re.sub(r" at 0x[0-9a-f]+", "", clipped).encode("utf-8", "replace").decode()
