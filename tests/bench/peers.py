"""The same questions put to DuckDB and polars, over the same data in memory: one frame, an event a row.

Each gets the frame in its own form (polars a DataFrame, DuckDB a table of its own), with answers already taken out of
payloads, judges already joined to their ensembles by the id they follow, and every column typed: more than a recording
says of itself. Both use all cores, as they do by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.questionnaire import CALLS, pieces

Question = Callable[[], Any]

LETTERS = np.array([f"option-{letter}" for letter in "abcd"], dtype=object)

DISAGREEMENT = """
select avg((distinct_answers - 1) / (answers - 1)) from (
    select count(distinct answer) as distinct_answers, count(answer) as answers
    from events where kind = 1 and type = 'member' group by parent having count(answer) > 1)
"""
ACCURACY = """
select type, stage, avg(accuracy), stddev_pop(accuracy), count(*) from events
where kind = 3 and accuracy is not null group by type, stage
"""
BY_AGREEMENT = """
with votes as (select parent, answer, count(*) as n from events
               where kind = 1 and type = 'member' group by parent, answer),
     agreement as (select parent, max(n) as largest, sum(n) as answered from votes group by parent)
select largest, answered, avg((judge.answer = judge.truth)::int), count(*)
from events judge join agreement on judge.follows = agreement.parent
where judge.kind = 1 and judge.type = 'judge' group by largest, answered
"""


def frame(events: int) -> Any:
    """The events as a polars DataFrame."""
    import polars

    return polars.concat([_frame_of(piece) for piece in pieces(events)], rechunk=True)


def _frame_of(piece: dict[str, Any]) -> Any:
    import polars

    n = len(piece["number"])
    ids = {name: piece["ids"][:, place] for place, name in enumerate(CALLS)}
    nothing = np.zeros(n, np.uint64)
    none = np.full(n, None, object)
    truth = LETTERS[piece["truth"]]
    parts = []

    def add(kind: int, name: str, type_: str, stage: str, parent: str, **more: Any) -> None:
        parts.append(
            polars.DataFrame(
                {
                    "kind": np.full(n, kind, np.uint8),
                    "call": ids[name],
                    "parent": ids.get(parent, nothing),
                    "follows": ids["panel"] if type_ == "judge" else nothing,
                    "type": polars.Series([type_], dtype=polars.String).new_from_index(0, n),
                    "stage": polars.Series([stage], dtype=polars.String).new_from_index(0, n),
                    "answer": polars.Series(more.get("answer", none), dtype=polars.String),
                    "truth": polars.Series(truth, dtype=polars.String),
                    "accuracy": polars.Series(more.get("accuracy"), dtype=polars.Float64)
                    if "accuracy" in more
                    else polars.Series([None], dtype=polars.Float64).new_from_index(0, n),
                }
            )
        )

    for name, type_, stage, parent in (
        ("root", "function", "default", ""),
        ("panel", "ensemble", "ensemble_1", "root"),
        *((f"m{place}", "member", "members", "panel") for place in range(3)),
        ("judge", "judge", "judge_1", "root"),
    ):
        add(0, name, type_, stage, parent)
        answer = {} if name in ("root", "panel") else {"answer": LETTERS[piece[name]]}
        add(1, name, type_, stage, parent, **answer)
    add(3, "judge", "judge", "judge_1", "root", accuracy=piece["score"])
    return polars.concat(parts)


def duckdb_questions(events: Any) -> dict[str, Question]:
    """The seed's questions in SQL, over a table in DuckDB's memory."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("create table events as select * from events")
    queries = {
        "ensemble_disagreement": DISAGREEMENT,
        "accuracy_distribution": ACCURACY,
        "judge_accuracy_by_agreement": BY_AGREEMENT,
    }
    return {name: lambda sql=sql: connection.execute(sql).fetchall() for name, sql in queries.items()}


def polars_questions(events: Any) -> dict[str, Question]:
    """The seed's questions in polars' lazy form, collected by its default engine."""
    import polars

    members = events.lazy().filter((polars.col("kind") == 1) & (polars.col("type") == "member"))

    def disagreement() -> Any:
        votes = members.group_by("parent").agg(
            polars.col("answer").n_unique().alias("distinct"), polars.col("answer").count().alias("n")
        )
        votes = votes.filter(polars.col("n") > 1)
        return votes.select(((polars.col("distinct") - 1) / (polars.col("n") - 1)).mean()).collect().item()

    def accuracy() -> Any:
        scores = events.lazy().filter((polars.col("kind") == 3) & polars.col("accuracy").is_not_null())
        value = polars.col("accuracy")
        return (
            scores.group_by("type", "stage")
            .agg(value.mean().alias("mean"), value.std(ddof=0).alias("std"), value.count().alias("n"))
            .collect()
        )

    def by_agreement() -> Any:
        votes = members.group_by("parent", "answer").agg(polars.len().alias("votes"))
        agreement = votes.group_by("parent").agg(polars.col("votes").max().alias("largest"), polars.col("votes").sum())
        judges = events.lazy().filter((polars.col("kind") == 1) & (polars.col("type") == "judge"))
        joined = judges.join(agreement, left_on="follows", right_on="parent")
        right = (polars.col("answer") == polars.col("truth")).cast(polars.Float64)
        return joined.group_by("largest", "votes").agg(right.mean().alias("right"), polars.len().alias("n")).collect()

    return {
        "ensemble_disagreement": disagreement,
        "accuracy_distribution": accuracy,
        "judge_accuracy_by_agreement": by_agreement,
    }
