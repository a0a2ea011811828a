"""Spans as they come about: a recording followed, and each call sent once it and its trace have come to rest.

    traces    the traces that are held: their events, and when they are due
    memory    what was sent, as far as that is remembered: late scores and labels find their spans by it
    export    from records to spans and evaluations
    messages  those as requests, for any receiver or for Phoenix
    outbox    what waits to be sent, tried again within bounds

Everything here is pure but for the outbox's connection, which is an argument; clocks are arguments too. The process
that does it is `aggregator.exporter`.
"""
