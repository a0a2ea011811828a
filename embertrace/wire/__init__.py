"""Every byte layout that crosses a process: event, batch, control, carrier, RPC. No I/O.

    event     one event: a flat msgpack array, with context and data as opaque binary
    calls     the two events of a traced call, put together from parts
    context   what an event adds to its parent's context
    batch     one PUSH message: a 48-byte header and consecutive events, or a declared gap
    control   hello, welcome, acknowledgement, refusal, end, locate: the return path
    carrier   the context that travels in the arguments of a remote task
    rpc       questions to the aggregator and its answers
    bounds    how msgpack is decoded that may be anybody's

Rules: every decoder checks lengths, counts and types before it allocates, and raises WireError and nothing else.
docs/wire-format.md describes the same bytes for other languages; tests/golden holds them to it.
"""
