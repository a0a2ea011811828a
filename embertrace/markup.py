"""Text of unknown origin made safe to show: on one line, nothing invisible, escaped for HTML and XML.

Rules of this file: names, answers and errors come from user code and models and may hold anything. `printable` takes
out what could break a file or mislead a reader; `escape` makes the rest plain text for a browser or an XML parser.
"""

from __future__ import annotations

import unicodedata

REPLACEMENT = "\ufffd"
ELLIPSIS = "…"
ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;"))


def printable(text: str) -> str:
    """`text` on one line with nothing invisible left that could break a file or mislead a reader."""
    return text if text.isascii() and text.isprintable() else "".join(_printable_char(char) for char in text)


def _printable_char(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t\u2028\u2029":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of the control character
    if code == 0x7F:
        return "\u2421"
    category = unicodedata.category(char)
    # Cf without the two joiners, which scripts and emoji need: direction marks, tags, zero-width spaces.
    if category in ("Cc", "Cs", "Cn", "Co") or (category == "Cf" and char not in "\u200c\u200d"):
        return REPLACEMENT
    return char


def shortened(text: str, most: int) -> str:
    """`text` made printable and at most `most` characters long; cut at its end, before it is looked at."""
    return printable(text) if len(text) <= most else printable(text[: most - 1]) + ELLIPSIS


def escape(text: str) -> str:
    """`text` for XML content and quoted attributes. Give it printable text only."""
    for char, entity in ENTITIES:
        text = text.replace(char, entity)
    return text
