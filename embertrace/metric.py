"""Scores and labels: metric events about the current call, about an item, or about a call named by its id.

Rules: nothing here raises into an operator because of tracing; with tracing off nothing is done at all.
Reserved keys in a metric's data: `label` (ground truth), `run` (a run's description).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from embertrace import lineage, payload
from embertrace.collect import EventCollector
from embertrace.errors import ConfigError
from embertrace.event import OperatorEvent, call_hex


class HasCallId(Protocol):
    """A call, by its id: a `Call` of an analysis, or an event of one."""

    @property
    def call_id(self) -> int | str | None: ...


def score(**values: Any) -> None:
    """Score the current call: `score(accuracy=0.9, usd=0.002)`. Outside any call it belongs to the current item.

    `correct` (bool) says whether the call's answer was right; `tokens_in`, `tokens_out` and `usd` feed `cost()`.
    """
    EventCollector.emit(OperatorEvent(event_type="metric", data=values))


def label(
    about: str | int | HasCallId,
    truth: Any,
    *,
    by: str | None = None,
    epoch: int | None = None,
    run: str | None = None,
) -> None:
    """State the truth of an item, or of one call, at any time, also long after. The last label per annotator wins.

    `about` is an item's key, or a call as analyses give it (or an event of it). `truth` may be a list of accepted
    answers; None withdraws what this annotator (`by`, as "human:ann") said before. `epoch` and `run` (an id or a name)
    narrow it to one repetition, to one run. Raises ConfigError, whether or not anything is traced, for what can't
    name an item (a key longer than an item keeps, about 2 KB) or a call.
    """
    EventCollector.emit_always(
        OperatorEvent(event_type="metric", data=label_data(about, truth, by=by, epoch=epoch, run=run))
    )


def label_data(
    about: str | int | HasCallId, truth: Any, *, by: str | None = None, epoch: int | None = None, run: str | None = None
) -> dict[str, Any]:
    """The data of a label's event. Raises ConfigError as `label`."""
    stated: dict[str, Any] = {"truth": truth, "by": by}
    if hasattr(about, "call_id"):
        if epoch is not None or run is not None:
            raise ConfigError(
                "label() got an epoch or a run beside a call: a call has its own; name the item, or neither"
            )
        call_id = about.call_id
        if not call_id:
            raise ConfigError("label() got an event that belongs to no call; name its item, or a call")
        stated["call"] = call_hex(call_id) if isinstance(call_id, int) else str(call_id)
    else:
        stated |= {"key": _checked(about), "epoch": epoch, "run": run}
    return {"label": {name: value for name, value in stated.items() if value is not None}}


def _checked(key: str | int) -> str | int:
    kept = lineage.recorded(key, lineage.ITEM_BYTES)
    if kept is None or isinstance(kept, payload.Cut):
        raise ConfigError(
            f"label() got a key that is no item's: {str(key)[:40]!r}…; items keep {lineage.ITEM_BYTES} bytes of a key, "
            "so use a shorter one for both, as an id or a digest"
        )
    return key


class AccuracyMetric:
    """Emits an accuracy (1.0 or 0.0, or what `calculate_accuracy` returns) in the current call's frame.

    Call it yourself, `metric(result, input_data)`, or attach it: `@trace(metrics=[AccuracyMetric("answer")])`.
    `input_data` is a mapping that holds the truth under `ground_truth_key`.
    """

    def __init__(self, ground_truth_key: str) -> None:
        self.ground_truth_key = ground_truth_key

    def calculate_accuracy(self, operator_result: Any, ground_truth: Any) -> float:
        """1.0 where they are equal, else 0.0. Override for another measure, in [0, 1]."""
        return float(operator_result == ground_truth)

    def __call__(self, operator_result: Any, input_data: Mapping[str, Any]) -> float:
        """Emit and return the accuracy. Raises KeyError where `input_data` has no ground truth."""
        accuracy = self.calculate_accuracy(operator_result, input_data[self.ground_truth_key])
        EventCollector.emit(OperatorEvent(event_type="metric", data={"accuracy": accuracy}))
        return accuracy
