"""Whose results a call consumed: recorded links, and for a judge every member that it judged. Pure."""

from __future__ import annotations

from typing import Literal

from embertrace.analysis import Call
from embertrace.analysis.query import Selection

Why = Literal["link", "member"]


def consumed_by(call: Call, selection: Selection) -> dict[int, Why]:
    """The ids of the calls that a call consumed, each with why: a recorded "link", or a "member" of what it judged."""
    consumed: dict[int, Why] = dict.fromkeys(call.links, "link")
    if call.operator_type == "judge":
        for feed in selection.links.feeds(call):
            for member in feed.members or feed.ensemble.children:
                if member is not None and member is not call:
                    consumed[member.call_id] = "member"
    return consumed
