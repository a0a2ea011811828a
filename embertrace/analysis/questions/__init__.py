"""How each question is computed: (partial state of one part of the events, merge, finish). Pure; see `verbs`."""
