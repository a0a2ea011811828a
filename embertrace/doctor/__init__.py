"""`embertrace doctor`: what is running, reachable, behind, dropped, undelivered; and what to do about each.

facts                      what was observed
observe                    the looking: the only file here that does I/O
findings                   what is said of it
here, spools, aggregators  facts → findings, pure
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from embertrace import __version__
from embertrace.doctor.aggregators import find_aggregator
from embertrace.doctor.facts import Facts
from embertrace.doctor.findings import Diagnosis, Finding
from embertrace.doctor.here import find_settings, find_versions
from embertrace.doctor.observe import look_around
from embertrace.doctor.spools import find_spools


def examine(endpoint: str | None = None, *, environment: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at this environment, at the spools of this machine, and at one aggregator; all with what to do.

    `endpoint` is tcp://host:port; by default the one that EMBERTRACE_ENDPOINT sets, else the one where aggregators
    usually listen. Changes nothing, raises nothing, and waits at most 5 s for any one answer. Thread-safe.
    """
    return diagnose(look_around(endpoint, environment))


def diagnose(facts: Facts) -> Diagnosis:
    """The findings on these facts. Pure."""
    return Diagnosis(tuple(_find(facts)))


def _find(facts: Facts) -> Iterator[Finding]:
    yield from find_versions(facts.installed)
    yield from find_settings(facts)
    yield from find_spools(facts)
    yield from find_aggregator(facts.aggregator, __version__)


__all__ = ["Diagnosis", "Finding", "diagnose", "examine"]
