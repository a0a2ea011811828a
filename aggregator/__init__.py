"""The aggregator: records the events that producers send, and answers questions about them.

    collector   what a message does to the state: accepted, duplicate, gap, refused (pure)
    ingest      the ingest process: sockets → collector → recording → acknowledgements
    analyst     the query process: follows the recording, answers
    api         the table of questions (no sockets)
    rpc         the door to it
    server      start, supervise, drain, stop

To its user it is one process to start. Inside there are two, so that a heavy question can't delay an acknowledgement,
and a crash of the one that answers loses nothing.
"""
