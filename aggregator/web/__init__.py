"""The HTTP door: the same table of questions as RPC, for browsers, scripts and scrapers.

    door       the listening socket, and the server's thread behind it
    jobs       questions on their way to the analyst's loop, and their answers on the way back
    security   who may ask: token, Host, Origin; what every answer says to a browser (pure)
    reaper     ends connections that ask nothing (pure)
    guard      that, in front of everything else
    app        the application: what is where, and errors as {error, code}
    resources  /v1/…: parameters become a call of the table
    asking     one call of the table, with its deadline
    labels     POST /v1/labels: what readers say of items and answers
    formats    answers as JSON, NDJSON or Arrow
    tail       events of the recording from a position on
    events     /v1/events: pages of them
    stream     /v1/events/stream: the live tail
    metrics    /metrics
    pages      the page, its files, and the page about the API

Web libraries are imported in here only, and only once somebody knocks (see door): an aggregator that nobody asks over
HTTP costs nothing for it.
"""
