"""Scores and labels: metric events about the current call, about an item, or about a call named by its id.

Rules: nothing here raises into an operator because of tracing; with tracing off nothing is done at all.
Reserved keys in a metric's data: `label` (ground truth), `run` (a run's description).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embertrace import context, payload
from embertrace.collect import EventCollector
from embertrace.errors import ConfigError
from embertrace.event import OperatorEvent


def score(**values: Any) -> None:
    """Score the current call: `score(accuracy=0.9, usd=0.002)`. Outside any call it belongs to the current item.

    `correct` (bool) says whether the call's answer was right; `tokens_in`, `tokens_out` and `usd` feed `cost()`.
    """
    EventCollector.emit(OperatorEvent(event_type="metric", data=values))


def label(key: str | int, *, truth: Any, by: str | None = None, epoch: int | None = None) -> None:
    """State the truth of an item, at any time, also long after its calls. The last label per annotator wins.

    `truth` may be a list of accepted answers; None withdraws what this annotator (`by`) said before. Raises
    ConfigError, whether or not anything is traced, for a key that is longer than an item keeps (about 2 KB).
    """
    kept = payload.unpack(payload.pack({"key": key}, context.ITEM_BYTES))
    if not isinstance(kept, dict) or isinstance(kept.get("key"), payload.Cut):
        raise ConfigError(
            f"label() got a key that is no item's: {str(key)[:40]!r}…; items keep {context.ITEM_BYTES} bytes of a key, "
            "so use a shorter one for both, as an id or a digest"
        )
    stated = {"key": key, "truth": truth, "by": by, "epoch": epoch}
    data = {"label": {name: value for name, value in stated.items() if value is not None}}
    EventCollector.emit(OperatorEvent(event_type="metric", data=data))


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
