"""The application: what is where, and every error as {error, code}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

import embertrace.errors
from aggregator.gauges import Gauges
from aggregator.web.asking import Refused, refused_for
from aggregator.web.events import events_router
from aggregator.web.formats import JSON, MEDIA, to_json
from aggregator.web.guard import Guard
from aggregator.web.jobs import Jobs
from aggregator.web.labels import labels_router
from aggregator.web.metrics import CONTENT_TYPE, exposition
from aggregator.web.pages import pages_router, read_files
from aggregator.web.resources import resources_router
from aggregator.web.security import Policy
from aggregator.web.stream import Cut, Streams, stream_router
from embertrace.recording import Recording

ABOUT = (
    "Questions to a recording of operators' events, and the events as they come. Answers are JSON; errors are "
    "{error: a sentence, code: a word}. Nothing is changed by asking; what readers say of answers is added to what was "
    "recorded."
)
BUSY_S = 3.0
"""Gauges are made every second; older ones mean that the analyst is in the middle of a question."""
CODES = {404: "not_found", 405: "method"}


class Problem(BaseModel):
    """Why there is no answer."""

    error: str
    code: str


class Health(BaseModel):
    """`status` is ok, starting, behind (reading what is recorded), or busy (with a question)."""

    status: str


def make_app(
    recording: Recording,
    jobs: Jobs,
    policy: Policy,
    streams: Streams,
    cut: Cut,
    gauges: Callable[[], Gauges | None],
    clock: Callable[[], float],
    version: str,
) -> ASGIApp:
    """The application behind its guard. `clock` is monotonic, as the gauges' own."""
    app = FastAPI(
        title="embertrace",
        version=version,
        description=ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": Problem, "description": "Why there is no answer."}},
    )
    for kind in (Refused, embertrace.errors.EmbertraceError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _say)
    app.include_router(stream_router(recording, streams, cut))
    app.include_router(events_router(recording))
    app.include_router(resources_router(jobs))
    app.include_router(labels_router(jobs))
    app.include_router(pages_router(read_files(), app.openapi))
    _add_operations(app, streams, gauges, clock)
    _describe_errors(app)
    return Guard(app, policy)


def _add_operations(
    app: FastAPI, streams: Streams, gauges: Callable[[], Gauges | None], clock: Callable[[], float]
) -> None:
    @app.get("/healthz", tags=["operation"], summary="Whether it is there; asks nobody")
    async def healthz() -> Health:
        return Health(status=status_of(gauges(), clock()))

    @app.get("/metrics", tags=["operation"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        body = exposition(gauges(), clock(), streams.open)
        return Response(body, headers={"content-type": CONTENT_TYPE})


def status_of(gauges: Gauges | None, now: float) -> str:
    """One word for how the analyst fares."""
    if gauges is None:
        return "starting"
    if now - gauges.at > BUSY_S:
        return "busy"
    return "behind" if gauges.behind else "ok"


async def _say(request: Request, error: Exception) -> Response:
    """The answer for an error."""
    if isinstance(error, RequestValidationError):
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        refused = Refused(400, "bad_request", told)
    elif isinstance(error, HTTPException):
        code = CODES.get(error.status_code, "bad_request")
        refused = Refused(error.status_code, code, f"{error.detail}; /api says what there is")
    else:
        refused = refused_for(error)
    return Response(to_json(refused.to_data()), refused.status, media_type=MEDIA[JSON])


def _describe_errors(app: FastAPI) -> None:
    """The description says of errors what is true here: FastAPI's own 422 never happens."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for methods in document["paths"].values():
            for about in methods.values():
                about["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
