"""For the tests of programs that are traced: an aggregator of a test's own, and a network that fails on demand.

`collect_events` shows what operators emit, without any of this. What is here answers the other question: does my
program go on, and is everything there afterwards, when connections break, hang, or crawl?
"""

from embertrace.testing.aggregators import Aggregator, aggregator
from embertrace.testing.relay import Relay, relay

__all__ = ["Aggregator", "Relay", "aggregator", "relay"]
