"""Who may ask over HTTP, and what every answer tells a browser. Pure.

Rules:
- With a token, whatever says something of the recording or its operators wants it. The page's own files do not: they
  hold nothing, and a browser can't show a token when it follows a link.
- `Host` must be an address, or one of the names this aggregator is known by. A page of a stranger whose name was made
  to point here (DNS rebinding) comes with the stranger's name.
- `Origin`, where a browser sends it, must be this door's own: no other page may ask, whatever it asks.
- Only POST carries a body, and only JSON: a form of another page can't send that. Nothing is changed by GET.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_BODY_BYTES = 64 * 1024
"""As of a question over RPC: it holds filters and names."""
METHODS = ("GET", "POST")
OPEN = ("/", "/api", "/favicon.ico", "/healthz", "/v1/openapi.json")
"""Without a token: none of it says anything of what was recorded."""
OPEN_BELOW = "/static/"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
"""On every answer."""
UNKEPT = ("cache-control", "no-store")
"""On every answer that says nothing else of caching."""


class Refusal(NamedTuple):
    status: int
    code: str
    error: str


class Asked(NamedTuple):
    """What a request says of itself. `headers` have lower-case names; one sent several times has several values."""

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]


class Policy(NamedTuple):
    """`token` is None where none is needed, `hosts` are the names (lower case) under which this door is known."""

    token: str | None
    hosts: frozenset[str]

    def judge(self, asked: Asked) -> Refusal | None:
        """Why a request is refused, if it is."""
        return self._of_host(asked) or self._of_origin(asked) or self._of_body(asked) or self._of_token(asked)

    def _of_host(self, asked: Asked) -> Refusal | None:
        given = asked.headers.get("host", ())
        name = host_name(given[0]) if len(given) == 1 else None
        if name is not None and (name in self.hosts or _is_address(name)):
            return None
        shown = ", ".join(given)[:100]
        return Refusal(
            403, "host", f"this aggregator is not known as {shown!r}; use its address, or start it with --advertise"
        )

    def _of_origin(self, asked: Asked) -> Refusal | None:
        origins, (host,) = asked.headers.get("origin", ()), asked.headers["host"]
        if all(_is_same(origin, host) for origin in origins):
            return None
        return Refusal(403, "origin", f"a page of {', '.join(origins)[:100]!r} may not ask here")

    def _of_body(self, asked: Asked) -> Refusal | None:
        if asked.method not in METHODS:
            return Refusal(405, "method", f"{asked.method[:20]} is not answered here; {', '.join(METHODS)} are")
        length = _one(asked, "content-length")
        if length is not None and not (length.isascii() and length.isdecimal() and int(length[:9]) <= MAX_BODY_BYTES):
            return Refusal(413, "too_large", f"a body of {length[:20]} bytes; the limit is {MAX_BODY_BYTES}")
        kind = (_one(asked, "content-type") or "").partition(";")[0].strip().lower()
        if asked.method == "POST" and kind != "application/json":
            return Refusal(415, "media_type", f"a body of type {kind[:60]!r}; send application/json")
        return None

    def _of_token(self, asked: Asked) -> Refusal | None:
        if self.token is None or asked.path in OPEN or asked.path.startswith(OPEN_BELOW):
            return None
        scheme, _, given = (_one(asked, "authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return None
        return Refusal(401, "token", "say `Authorization: Bearer …` with the token in http.token of the key directory")


def host_name(header: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None for what is none."""
    try:
        split = urlsplit(f"//{header.strip()}")
        split.port  # noqa: B018  # raises for one that is no number
        name = split.hostname
    except ValueError:
        return None
    if split.username is not None or split.path or split.query or split.fragment:
        return None
    return name.rstrip(".") if name else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    scheme, _, where = origin.partition("://")
    return scheme.lower() in ("http", "https") and where.lower() == host.strip().lower()


def _one(asked: Asked, name: str) -> str | None:
    values = asked.headers.get(name, ())
    return values[0] if len(values) == 1 else None if not values else ", ".join(values)
