"""The command that watches an aggregator; it stands in `embertrace.top`."""

from __future__ import annotations

from embertrace.cli.shell import app
from embertrace.top.command import top

app.command()(top)
