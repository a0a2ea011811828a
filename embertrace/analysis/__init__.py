"""What recorded operators did: events → forest of calls → questions → results.

    forest, trees, calls    events in any order become calls with parents, attempts, scores, runs, labels
    answers, correctness    what a call answered, and whether that is right
    ensembles, links        members and their votes; which ensemble fed which judge
    query                   filters as data, and what they select
    voting, judging, …      the questions, each a partial state that merges exactly
    verbs                   the table of questions: `answer(forest, query)`
    operator_analysis       the fluent face of it

Everything here is pure: no I/O, no clock. numpy is imported where it is needed, when it is needed.
"""
