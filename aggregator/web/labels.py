"""POST /v1/labels: what a reader says of an item or an answer becomes an event of the recording.

It is answered when it is durable, and when whoever asks next is told of it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from aggregator.web.asking import ask, to_bytes
from aggregator.web.formats import JSON, MEDIA
from aggregator.web.jobs import LABEL, Jobs
from aggregator.web.resources import check_depth

DEADLINE_S = 15.0
"""A disk that is full, or slow, for so long is worth saying."""


class Label(BaseModel):
    """What is true of an item, or of one call; or whether what a call answered is right."""

    model_config = ConfigDict(extra="forbid")

    item: str | int | None = Field(None, description="The key of an item.")
    epoch: Any = Field(None, description="Of the item: one of its epochs only.")
    run: str | None = Field(None, description="Of the item: one run only, by id or name.", max_length=1000)
    call: str | None = Field(None, description="A call's id, 16 hexadecimal digits.")
    attempt: int | None = Field(None, description="Of the call; default: the one that counts.")
    truth: Any = Field(None, description="The right answer, or a list of accepted ones; null withdraws.")
    correct: bool | None = Field(None, description="Whether the call's answer is right; null withdraws.", strict=True)
    by: str = Field("human", description='Who says it, as "human:ann".')


def labels_router(jobs: Jobs) -> APIRouter:
    router = APIRouter(tags=["labels"])

    @router.post("/v1/labels", summary="Say what is true of an item, or whether an answer is right")
    async def labels(label: Label) -> Response:
        """One of item and call, one of truth and correct. {producer, seq, position} once it is durable, and every
        answer from then on takes it into account."""
        said = label.model_dump(exclude_unset=True)
        check_depth(said)
        return Response(await to_bytes(await ask(jobs, LABEL, said, DEADLINE_S)), media_type=MEDIA[JSON])

    return router
