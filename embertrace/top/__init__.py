"""`embertrace top ENDPOINT`: what an aggregator records, while it happens.

    model     a reading, and what is shown of it: sentences of health, tables, sorting, filtering; pure
    cells     numbers, times and other people's text as they stand on a line; pure
    feed      the aggregator asked, again and again: one question and one look at its control door a time
    plain     blocks of lines, for files and pipes
    screen    the same on a terminal (Textual)
    command   what people type

Rules: nothing is computed here; the aggregator answers from its last events (see embertrace.analysis.window). Text of
others is shown as text: no control character, markup or direction mark of theirs reaches a terminal.
"""
