"""The questions as methods, in groups: `OperatorAnalysis` is made of them.

    asks         how a question reaches whatever answers it
    ensembles    how members vote, and what their majority is worth
    agreement    how far members agree: pairs, entropy, kappas
    members      what members are worth: together, in smaller numbers, each one
    judges       judges, beside what they judged
    activity     scores, durations, flow
    timing       quantiles, the chain that bounds a trace, stragglers
    items        single items
    incidents    what went wrong or is missing

A method gives its options to the verb of its name, in `verbs`; how that is computed stands in `questions`.
"""
