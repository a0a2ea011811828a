"""On what was measured: the machine, what it did besides, and the versions of all that took part."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
from typing import Any

LIBRARIES = (
    "msgpack",
    "numpy",
    "pyzmq",
    "ray",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "duckdb",
    "polars",
    "pyarrow",
)


def machine() -> dict[str, Any]:
    """What timings depend on. `load` is the system's over the last minute, before the benchmark began."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(load, 2),
    }


def versions() -> dict[str, str]:
    """Of Python, this project, and the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in ("embertrace", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.processor()
