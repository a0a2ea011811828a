"""The aggregator: records the events that producers send, and answers questions about them.

    collector   what a message does to the state: accepted, duplicate, gap, refused (pure)
    ingest      the ingest process: sockets → collector → recording → acknowledgements
    analyst     the query process: follows the recording, answers
    api         the table of questions (no sockets); browse, paging and producers are parts of it
    gauges      how it fares, for whoever must not wait
    rpc, web    the doors to it: ZeroMQ and HTTP
    child       the query process, from outside
    server      start, supervise, drain, stop

To its user it is one process to start. Inside there are two, so that a heavy question can't delay an acknowledgement,
and a crash of the one that answers loses nothing.
"""
