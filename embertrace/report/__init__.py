"""The story of a run, or of two: what ran, agreement, judges, members, time, cost, errors, and what is missing.

    model       sections of blocks: what every form of a report shows
    sections    which sections there are; a new one is a line in PARTS
    pictures    from the rows of a question to its pictures
    plots       the pictures, as SVG of our own
    compared    two runs side by side
    words       how numbers are written: the same in every form
    text, html  the forms: for the terminal, and as one file for a browser

A report is made once; the terminal, the page and JSON show the same numbers of it. All of this is pure.
"""

from __future__ import annotations

from embertrace.report.compared import comparison_report
from embertrace.report.html import as_html
from embertrace.report.model import Report, Section
from embertrace.report.sections import report
from embertrace.report.text import as_text

__all__ = ["Report", "Section", "as_html", "as_text", "comparison_report", "report"]
