"""The web service: predictions over HTTP, and the page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

import emohop
from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError, brief
from emohop.prediction import Prediction
from emohop.prediction.segmentation import NONE, SPEECH
from emohop.serving.connections import Connections
from emohop.serving.forms import Fields, Form, SentFile, read_form
from emohop.serving.messages import Answer, LeftOut, PredictRequest, Rejection, Served
from emohop.serving.metrics import Metrics
from emohop.serving.middleware import GUARDED, LOG, BodyLimit, Head, Log, Names, Token
from emohop.serving.pool import ClosingError, FullError, LateError, Pool
from emohop.serving.schemas import (
    BATCH_FORM,
    PREDICT_FORM,
    TROUBLES,
    Answered,
    Batch,
    BatchItem,
    ClipError,
    ErrorResponse,
    Model,
    asyncapi,
)
from emohop.serving.streaming import Streams, streaming
from emohop.serving.uploads import LEFT, Upload, Uploads
from emohop.serving.worker import WorkerDiedError

PAGE = Path(__file__).parent / "page"
PARTS = ("page.js", "page.css", "attention.js", "timeline.js", "live.js", "microphone.js")
RETRY_SECONDS = 2
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load: nothing from elsewhere."""
SEGMENTS = re.compile(rf"{SPEECH}|{NONE}|[0-9]{{1,4}}(\.[0-9]{{1,3}})?")
SEGMENTS_CHARACTERS = 40
STARTING, ENDING = "starting: no worker has loaded the model yet", "the server is about to end"
FULL = "too many requests wait"
Found = TypeVar("Found")


def create_app(
    model: Path,
    settings: ServingSettings,
    asr: str | None = None,
    encoders: Mapping[Modality, str] | None = None,
) -> FastAPI:
    """The application of a model folder; its workers live as long as it does.

    `asr` is a Whisper model that hears what no text is sent for; `encoders` says where pretrained
    encoders lie here, if not where they lay when the model was trained. When the model cannot be
    loaded, it does not start, and `app.state.failed` is the EmohopError.
    """
    served = Served(model, asr, encoders or {})
    pool, streams, metrics = Pool(served, settings), Streams(served, settings), Metrics()
    uploads, connections = Uploads(pool, settings), Connections(settings)

    def end() -> None:
        """Take nothing more; those whose requests are not here yet are told so."""
        pool.close()
        uploads.end_all()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await pool.start()
        except EmohopError as error:
            app.state.failed = error
            raise
        yield
        end()
        connections.stop()
        await streams.stop()
        await pool.stop()

    app = FastAPI(
        title="emohop",
        version=emohop.__version__,
        summary="A speaker's emotion from voice, words and face.",
        lifespan=lifespan,
        docs_url=None,  # its pages are loaded from elsewhere; /openapi.json is here
        redoc_url=None,
    )
    app.state.pool, app.state.streams, app.state.connections = pool, streams, connections
    app.state.end, app.state.failed = end, None
    routers = [
        _predictions(pool, uploads, settings),
        streaming(streams, settings, metrics),
        _states(pool),
        _page(),
    ]
    for router in routers:
        app.include_router(router)
    _describe_token(app, needed=settings.token is not None)

    @app.get("/asyncapi.json", include_in_schema=False)
    async def streams_described() -> dict[str, Any]:
        return asyncapi(settings)

    @app.get("/metrics", include_in_schema=False)
    async def measured() -> Response:
        return metrics.response(pool, uploads, connections)

    app.add_exception_handler(AnyHTTPException, _told)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, most=round(settings.upload_mb * (1 << 20)))
    if settings.token is not None:
        app.add_middleware(Token, token=settings.token)
    app.add_middleware(Names, settings=settings)
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    paths = {getattr(route, "path", "") for route in routes}
    app.add_middleware(Log, metrics=metrics, paths=paths, ending=lambda: pool.closing)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
        )
    return app


def _describe_token(app: FastAPI, *, needed: bool) -> None:
    """Name the token in the OpenAPI of what asks for it; optional where none is set."""
    plain = app.openapi
    known: list[dict[str, list[str]]] = [{"token": []}]

    def whole() -> dict[str, Any]:
        schema = plain()
        said = "The server's token, if it has one."
        scheme = {"type": "http", "scheme": "bearer", "description": said}
        schema["components"]["securitySchemes"] = {"token": scheme}
        for path, methods in schema["paths"].items():
            if path.startswith(GUARDED):
                for operation in methods.values():
                    operation["security"] = known if needed else [{}, *known]
        return schema

    app.openapi = whole  # type: ignore[method-assign]


def _predictions(pool: Pool, uploads: Uploads, settings: ServingSettings) -> APIRouter:
    """What the service is for."""
    router = APIRouter(prefix="/v1")
    texts = {"text": settings.text_characters, "segments": SEGMENTS_CHARACTERS}
    one, several = Fields(texts, "file"), Fields({}, "files", settings.max_files)

    @router.post("/predict", responses=TROUBLES, openapi_extra=PREDICT_FORM)
    async def predict(request: Request) -> Answered:
        """The emotion in a file, in words, or in both. An empty text says that nothing is said."""
        with _upload(uploads, request) as upload:
            form = await read_form(upload, one)
            job = _job(form)
            clock = _Clock(settings.timeout_seconds)
            found = await _while_there(request, _ask(upload, job, clock))
        if isinstance(found, Rejection):
            raise HTTPException(422, found.reason)
        return Answered(predictions=_predicted(found), errors=_left_out(found))

    @router.post("/predict/batch", responses=TROUBLES, openapi_extra=BATCH_FORM)
    async def predict_batch(request: Request) -> Batch:
        """The emotion in each of several files; one that cannot be read has its error."""
        answers: list[BatchItem] = []
        with _upload(uploads, request) as upload:
            form = await read_form(upload, several)
            if not form.files:
                raise HTTPException(422, "files: nothing to predict: send one or more")
            clock = _Clock(settings.timeout_seconds)
            for file in form.files:  # one after the other: a batch takes one place in the queue
                job = PredictRequest(file.path, file.name)
                answers.append(await _while_there(request, _item(upload, file, job, clock)))
        return Batch(answers=answers)

    @router.get("/model", responses={401: TROUBLES[401]})
    async def described() -> Model:
        """What is served."""
        if pool.described is None:
            raise HTTPException(503, STARTING)
        return pool.described

    return router


def _states(pool: Pool) -> APIRouter:
    """What who runs the service asks it."""
    router = APIRouter()

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """The server runs."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": ErrorResponse}})
    async def ready() -> dict[str, str]:
        """A request would be taken now; else whether the server starts, is full or ends."""
        state = pool.state
        if state != "ready":
            said = {"starting": STARTING, "full": f"full: {FULL}", "ending": ENDING}[state]
            raise HTTPException(503, said)
        return {"status": state}

    return router


def _page() -> APIRouter:
    """The page and its parts."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return _file("index.html")

    @router.get("/page/{name}")
    async def part(name: str) -> FileResponse:
        if name not in PARTS:
            raise HTTPException(404, "no such page")
        return _file(name)

    return router


def _predicted(found: Sequence[Prediction | LeftOut]) -> list[Prediction]:
    return [one for one in found if not isinstance(one, LeftOut)]


def _left_out(found: Sequence[Prediction | LeftOut]) -> list[ClipError]:
    return [
        ClipError(start=one.start, end=one.end, error=one.reason)
        for one in found
        if isinstance(one, LeftOut)
    ]


class _Clock:
    """The time that is left to a request."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = asyncio.get_running_loop().time() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._until - asyncio.get_running_loop().time())


def _job(form: Form) -> PredictRequest:
    """What a form asks for; HTTPException where that cannot be."""
    text, segments = form.texts.get("text"), form.texts.get("segments")
    if not form.files and not (text or "").strip():
        raise HTTPException(422, "nothing to predict: send a file, a text or both")
    if segments is not None and SEGMENTS.fullmatch(segments) is None:
        raise HTTPException(
            422, f"segments {brief(segments)!r}: {SPEECH}, {NONE} or a number of seconds, "
            "as 5 or 2.5, is accepted",
        )  # fmt: skip
    if segments is not None and (not form.files or (text and segments != NONE)):
        raise HTTPException(422, "segments: cut a file without a text")
    if not form.files:
        return PredictRequest(None, "text", text, segments)
    return PredictRequest(form.files[0].path, form.files[0].name, text, segments)


@contextmanager
def _upload(uploads: Uploads, request: Request) -> Iterator[Upload]:
    """A request's body, and the answers where there is no room for it."""
    try:
        with uploads.open(request) as upload:
            yield upload
    except FullError:
        raise HTTPException(429, FULL, {"Retry-After": str(RETRY_SECONDS)}) from None
    except ClosingError:
        raise HTTPException(503, ENDING) from None


async def _while_there(request: Request, answer: Awaitable[Found]) -> Found:
    """An answer, unless its client leaves first: then nothing more is done for it."""
    asked, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise HTTPException(LEFT, "the client left")
        return await asked
    finally:
        gone.cancel()
        asked.cancel()


async def _left(request: Request) -> None:
    """Until the client of a request, whose body is here, has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ask(upload: Upload, job: PredictRequest, clock: _Clock) -> Answer:
    """What a worker says."""
    try:
        return await upload.place.ask(job, clock.left)
    except LateError:
        said = f"{job.name}: took longer than {clock.seconds:g} s, waiting included"
        raise HTTPException(504, said) from None
    except WorkerDiedError:
        raise HTTPException(500, f"{job.name}: two processes that read it died") from None


async def _item(upload: Upload, file: SentFile, job: PredictRequest, clock: _Clock) -> BatchItem:
    """What a worker says of one of several files; the others' answers are not lost by an error."""
    try:
        found = await _ask(upload, job, clock)
    except FullError:
        found = Rejection(FULL)
    except ClosingError:
        found = Rejection(ENDING)
    except HTTPException as error:
        found = Rejection(str(error.detail))
    if isinstance(found, Rejection):
        return BatchItem(name=file.name, error=found.reason)
    return BatchItem(name=file.name, predictions=_predicted(found), errors=_left_out(found))


async def _told(request: Request, error: Exception) -> JSONResponse:
    """An error as its one line."""
    del request
    if not isinstance(error, AnyHTTPException):
        raise error
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _broken(request: Request, error: Exception) -> JSONResponse:
    """Something that should not be: no more of it than that goes out."""
    del request
    LOG.error(json.dumps({"event": "failed", "error": type(error).__name__}))
    return JSONResponse({"error": "the server failed"}, 500)


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    """A request that is not as the OpenAPI says it, by its first fault."""
    del request
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)


def _file(name: str) -> FileResponse:
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(PAGE / name, headers=headers)
