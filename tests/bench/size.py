"""P9: what an operator call takes on disk, of the demo's real payloads, beside OTLP of the same calls.

The demo runs once (three classifiers and a judge on handwritten digits; ten people's ratings and a judge). Its
recording is counted as it lies on disk, and after `embertrace pack`. OTLP is what the exporter of this project makes of
the same calls, in requests of 512 spans as OpenTelemetry's exporters send them, each compressed by zstd at its default
level. Payloads are those of the recording in both.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import embertrace as et
from bench import children
from bench.harness import Figure, Options
from embertrace.recording import pack

LEVEL = 3
"""What zstd, and those who receive OTLP, take unless told otherwise."""
BLOCK_BYTES = 256 * 1024
SHARE = 0.5
SHORT_ITEMS = 5


def figures(options: Options) -> list[Figure]:
    """P9."""
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        recording = pathlib.Path(scratch) / "demo"
        fewer = ["--items", str(SHORT_ITEMS)] if options.short else []
        subprocess.run(
            [sys.executable, "-m", "embertrace", "demo", str(recording), *fewer],
            env=children.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return list(_sizes(recording))


def _sizes(recording: pathlib.Path) -> Iterator[Figure]:
    calls = sum(1 for name in _runs(recording) for _ in et.open(recording).run(name).calls)
    segments = [path.read_bytes() for path in sorted((recording / "segments").iterdir())]
    on_disk = sum(map(len, segments)) / calls
    packed = pack(recording).bytes_after / calls
    what = f"bytes a call, {calls:,} calls, as recorded"
    try:
        zstd = sum(_zstd(part) for segment in segments for part in _blocks(segment)) / calls
        plain, peer = (sum(sizes) / calls for sizes in zip(*_otlp(recording), strict=True))
    except ImportError as error:
        yield Figure("P9", what, f"{on_disk:.1f}, packed {packed:.1f}, no peer: {error}", on_disk, key="call_bytes")
        return
    share = packed / peer
    peers = {"OTLP": f"{plain:.1f}", "OTLP, zstd": f"{peer:.1f}"}
    yield Figure("P9", what, f"{on_disk:.1f}", on_disk, peers=peers, key="call_bytes")
    yield Figure("P9", "  packed", f"{packed:.1f}", packed)
    yield Figure("P9", "  packed, against OTLP with zstd", f"{share:.2f}×", share, "≤ 0.5×", share <= SHARE)
    yield Figure("P9", "  if zstd compressed it as recorded", f"{zstd:.1f} ({zstd / peer:.2f}×)", zstd)


def _runs(recording: pathlib.Path) -> list[str]:
    return [run["name"] for run in et.open(recording).runs()]


def _blocks(segment: bytes) -> Iterator[bytes]:
    for start in range(0, len(segment), BLOCK_BYTES):
        yield segment[start : start + BLOCK_BYTES]


def _zstd(data: bytes) -> int:
    import pyarrow

    return len(pyarrow.Codec("zstd", LEVEL).compress(data))


def _otlp(recording: pathlib.Path) -> Iterator[tuple[int, int]]:
    """Bytes of each request, plain and compressed."""
    from embertrace.interop import otlp, otlp_mapping, otlp_spans

    for name in _runs(recording):
        selection: Any = et.open(recording).run(name).selection(every_attempt=True)
        runs = {run["id"]: run for run in selection.forest.runs()}
        for run, spans in otlp.batches(otlp_spans.Spans(selection)):
            request = otlp.request_of(otlp_mapping.resource_of(runs.get(run, {})), spans).SerializeToString()
            yield len(request), _zstd(request)
