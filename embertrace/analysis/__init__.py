"""What recorded operators did: events → forest of calls → questions → results.

    table                   events as columns: what a forest stands on
    forest, trees, calls    events in any order become calls with parents, attempts, scores, runs, labels
    known                   what is known of producers, and how many events there are in all
    cutting, sieves         which traces a forest can let go of; which events a part of a forest takes
    attributes              what a call reads from its trees
    answers, correctness    what a call answered, and whether that is right
    ensembles, links        members and their votes; which ensemble fed which judge
    query                   filters as data, and what they select
    sample                  what recorded calls stand for, where not everything is recorded
    naming                  which item a call belongs to; names of items that got no key
    arrays                  ensembles and judges all at once, where they are in the ordinary
    questions               how each question is computed: a partial state that merges exactly
    statistics, resampling  intervals, tests, the bootstrap
    subsets                 what a majority of some members is worth
    groups                  any question by groups of calls
    verbs                   the table of questions: `answer(forest, query)`
    fluent                  the questions as methods
    operator_analysis       filters that chain, and those methods

Everything here is pure: no I/O, no clock. `import embertrace` loads none of it, nor numpy.
"""

from embertrace.analysis.calls import Call
from embertrace.analysis.comparison import Comparison
from embertrace.analysis.forest import Forest
from embertrace.analysis.operator_analysis import OperatorAnalysis
from embertrace.analysis.results import Estimate, Groups, Rows, Table, result_from_data
from embertrace.analysis.source import LocalSource, Source

__all__ = [
    "Call",
    "Comparison",
    "Estimate",
    "Forest",
    "Groups",
    "LocalSource",
    "OperatorAnalysis",
    "Rows",
    "Source",
    "Table",
    "result_from_data",
]
