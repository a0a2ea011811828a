"""Questions over all calls at once: what `ensembles`, `links` and `correctness` say call by call, as arrays.

    votes       of every ensemble how many members answered, failed, agreed
    feeding     of every judge the ensemble that fed it
    deciding    of every judge what it decided, and whether that is right
    judged      of every judge both, and how far its ensemble agreed
    kinds       ensembles and judges of which every question says the same
    sums        exact sums of shares per unit
    rolls       of every member its name, and what is shown of its vote
    chains      of every trace the calls that bound it; of every ensemble who was waited for

Rules:
- The result is that of the way call by call, digit for digit; a property test holds that. What is out of the ordinary
  (an ensemble that votes through a list, a judge that names several ensembles, …) is left to that way, call by call.
- None where a question can't be put like this: a callable decides, or a share is neither 0 nor 1.
- What depends on the trees alone is kept with them, so that asking again costs little.
"""
