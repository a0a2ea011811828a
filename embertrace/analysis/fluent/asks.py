"""What every group of questions stands on: a way to ask, whatever answers (a forest here, or an aggregator)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from embertrace.analysis.results import Estimate, Rows, Table


class Asks:
    """Asks one verb by name. A question is one line that names its verb; its docstring says what it means."""

    def _ask(self, verb: str, options: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def _estimate(self, verb: str, **options: Any) -> Estimate:
        return cast("Estimate", self._ask(verb, options))

    def _table(self, verb: str, **options: Any) -> Table:
        return cast("Table", self._ask(verb, options))

    def _rows(self, verb: str, **options: Any) -> Rows:
        return cast("Rows", self._ask(verb, options))
