"""Events as columns that grow by appending: what a forest stands on.

    column, seqs, ids   columns that grow; seqs that were seen; ids to small numbers
    names               operator id, type and stage: one number for the three
    events, tails       every event that was kept, a row each; payloads stay packed
    executions          (call, attempt): the rows of its begin and its end
    contexts, mappings  run, item and tags that events brought along; packed maps, each distinct one once
    numbered            texts by number, and the memory they take
    texts, items        what payloads and items say, read once for all that say the same
    traces, marks       traces as keys, and whose they are; where in a recording rows came from
    shape               executions put into trees: which count, under whom, in which order

Rules: rows and numbers are given out as events arrive and never change, so that grouping is counting; what depends on
all events is in `shape`, computed with arrays. Nothing here decodes a payload.
"""
