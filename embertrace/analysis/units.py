"""What is drawn at random in every interval: the item that a call is about."""

from __future__ import annotations

from embertrace.analysis.calls import Call
from embertrace.analysis.table.items import Unit, unit_of_item
from embertrace.payload import canonical


def unit_of(call: Call) -> Unit:
    """The group of a call's item, else the item; without items, the call itself."""
    return unit_of_item(call.item) or ("call", canonical(call.call_id))
