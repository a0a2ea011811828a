"""What stands for a value where it is compared: canonical bytes, and digests of what is too large to keep."""

from __future__ import annotations

import hashlib
from typing import Any

import msgpack

from embertrace.payload.forms import EXT_BIGINT, EXT_CUT, EXT_SUMMARY, EXT_TUPLE, Cut, Summary

WHOLE_HASH_BYTES = 1024 * 1024
EDGE_HASH_BYTES = 64 * 1024
"""Above 1 MiB a digest covers both edges and the length: hashing 1 GiB would take the caller 0.3–1.6 s."""


def canonical(value: Any) -> bytes:
    """Bytes that are equal exactly where values are: map pairs by packed key, one NaN, list = tuple; 1 ≠ 1.0 ≠ "1".

    Takes what `unpack` returns (or any plain data). Summaries count by type and content.
    """
    return msgpack.packb(_canonical(value), unicode_errors="surrogatepass")


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return float("nan")
    if isinstance(value, list | tuple):
        return [_canonical(part) for part in value]
    if isinstance(value, dict):
        pairs = [(canonical(key), canonical(part)) for key, part in value.items()]
        return msgpack.ExtType(EXT_TUPLE, b"".join(key + part for key, part in sorted(pairs)))
    if isinstance(value, Summary):
        return msgpack.ExtType(EXT_SUMMARY, canonical({"type": value.type, **value.about}))
    if isinstance(value, Cut):
        told = [value.digest] if value.digest is not None else [value.head, value.tail]  # edges depend on the limit
        return msgpack.ExtType(EXT_CUT, canonical([value.type, value.length, *told]))
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return msgpack.ExtType(EXT_BIGINT, str(value).encode())
    return value


def digest(data: bytes) -> bytes:
    """16 bytes that stand for `data`; over 1 MiB, for its first and last 64 KiB and its length."""
    if len(data) > WHOLE_HASH_BYTES:
        data = data[:EDGE_HASH_BYTES] + data[-EDGE_HASH_BYTES:] + len(data).to_bytes(8, "little")
    return hashlib.blake2b(data, digest_size=16).digest()


def digest_of_text(text: str) -> bytes:
    """The digest of a cut text, which stands for all of it; of a very long one, for its edges and its length."""
    if len(text) <= WHOLE_HASH_BYTES:
        return digest(text.encode("utf-8", "surrogatepass"))
    edges = (text[:EDGE_HASH_BYTES] + text[-EDGE_HASH_BYTES:]).encode("utf-8", "surrogatepass")
    return digest(edges + len(text).to_bytes(8, "little"))


def digest_of_edges(data: bytes | bytearray) -> bytes:
    edges = bytes(data[:EDGE_HASH_BYTES]) + bytes(data[-EDGE_HASH_BYTES:])
    return digest(edges + len(data).to_bytes(8, "little"))
