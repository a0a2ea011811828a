"""Values as canonical msgpack snapshots: normalising, limits, digests, summaries, redaction.

What is kept of a value is bounded and plain: tuples become lists, sets sorted lists, numpy scalars Python's; dictionary
keys stay what they were. A round trip is stable: packing what `unpack` returned gives the same bytes.

    snapshot     `pack`: any value, within a limit; never raises       plain        its short way, for plain values
    recognition  what is known of values of other types                redaction    what must not leave the process
    reading      `unpack`: bytes that may be anything                  digests      `canonical` bytes, digests
    forms        `Summary`, `Cut`, and the extension types
"""

from embertrace.payload.digests import canonical, digest, digest_of_text
from embertrace.payload.forms import Cut, Summary
from embertrace.payload.plain import pack_plain
from embertrace.payload.reading import MAX_EXTENSIONS, unpack
from embertrace.payload.redaction import Redaction
from embertrace.payload.snapshot import DEFAULT_LIMIT, MAX_DEPTH, pack

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_DEPTH",
    "MAX_EXTENSIONS",
    "Cut",
    "Redaction",
    "Summary",
    "canonical",
    "digest",
    "digest_of_text",
    "pack",
    "pack_plain",
    "unpack",
]
