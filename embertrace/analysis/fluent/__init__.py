"""The questions as methods, in groups: `OperatorAnalysis` is made of them.

    asks         how a question reaches whatever answers it
    ensembles    members and their votes
    judges       judges, beside what they judged
    activity     scores, time, flow
    items        single items
    labels       what annotators said of items
    incidents    what went wrong or is missing

A method gives its options to the verb of its name, in `verbs`; how that is computed stands in `questions`.
"""
