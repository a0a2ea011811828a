"""Where an analysis gets its events: a recording on disk, or an aggregator over RPC. The same verbs on both."""

from __future__ import annotations
