"""What every result can do beside holding numbers: show itself in a notebook, and turn into other libraries' tables."""

from __future__ import annotations

from typing import Any

from embertrace.analysis import frames, notebook


class Presented:
    """Methods on top of `to_data`, the same for all results."""

    def to_data(self) -> dict[str, Any]:
        raise NotImplementedError

    def _records(self) -> list[dict[str, Any]]:
        """The rows of a table of another library."""
        return frames.records_of(self.to_data())

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: None for NaN; rows, left_out, notes."""
        data = self.to_data()
        data.pop("result")
        if data.get("rows") and isinstance(data["rows"][0], list):
            data["rows"] = dict(data["rows"])
        return data

    def to_arrow(self) -> Any:
        """A pyarrow.Table: a row for an estimate, one a name for a table. Raises MissingExtraError without it."""
        return frames.arrow(self._records())

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, as `to_arrow`. Raises MissingExtraError without pandas."""
        return frames.pandas(self._records())

    def to_polars(self) -> Any:
        """A polars.DataFrame, as `to_arrow`. Raises MissingExtraError without polars."""
        return frames.polars(self._records())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow C stream, which other libraries read: `pyarrow.RecordBatchReader.from_stream(rows)`, DuckDB."""
        return frames.stream(self._records(), None, requested_schema)

    def _repr_html_(self) -> str:
        return notebook.of_result(self.to_data())
