"""Texts that would like to be more than text: markup, quotes, control characters, directions, sheer length."""

from __future__ import annotations

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "quo'tes\" & &amp; </text></svg><a href='javascript:x'>",
    "ctl\x00\x01\x1b[31m\x7f\x85\u202eevil\ud800\ufffe",
    "]]><![CDATA[ --> <!--",
    "{stage} %s {0} `tick` |pipe| [link](http://evil.example) ]:::x click n0 call",
    "two\nlines\r\n\u2028three",
)
LONG = "<b>x</b>" * 131_072
"""A megabyte."""
