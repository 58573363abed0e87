"""The web service: predictions over HTTP, and the page."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    File,
    Form,
    HTTPException,
    Request,
    Response,
    UploadFile,
)
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

import emohop
from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.prediction import Prediction
from emohop.prediction.segmentation import NONE
from emohop.serving.messages import Answer, LeftOut, PredictRequest, Rejection, Served
from emohop.serving.metrics import Metrics
from emohop.serving.middleware import LOG, BodyLimit, Log, Token, fault_of_text
from emohop.serving.pool import ClosingError, FullError, Pool
from emohop.serving.schemas import (
    TROUBLES,
    Answered,
    Batch,
    BatchItem,
    ClipError,
    ErrorResponse,
    Model,
)
from emohop.serving.streaming import Streams, streaming
from emohop.serving.worker import WorkerDiedError

PAGE = Path(__file__).parent / "page"
PARTS = ("page.js", "page.css", "attention.js", "timeline.js", "live.js", "microphone.js")
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
RETRY_SECONDS = 2
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load: nothing from elsewhere."""
LONGEST_NAME = 200

Text = Annotated[str | None, Form(description="What is said.", examples=["Excuse me?"])]
Upload = Annotated[
    UploadFile | None, File(description="Audio or video in any format that FFmpeg reads.")
]
Uploads = Annotated[list[UploadFile], File(min_length=1, description="Each as `file` is.")]
Segments = Annotated[
    str | None,
    Form(
        description="Cut a recording: `speech`, a number of seconds, or `none`. It is cut where "
        "somebody speaks if it is longer than the model reads, and nothing else is said.",
        pattern=r"^(speech|none|[0-9]{1,4}(\.[0-9]{1,3})?)$",
        examples=["speech"],
    ),
]


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
    pool, metrics = Pool(served, settings), Metrics()
    streams = Streams(served, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await pool.start()
        except EmohopError as error:
            app.state.failed = error
            raise
        yield
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
    app.state.pool, app.state.streams, app.state.failed = pool, streams, None
    app.include_router(_predictions(pool, settings))
    app.include_router(streaming(streams, settings, metrics))
    app.include_router(_states(pool))
    app.include_router(_page())

    @app.get("/metrics", include_in_schema=False)
    async def measured() -> Response:
        return metrics.response(pool)

    app.add_exception_handler(AnyHTTPException, _told)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(BodyLimit, most=round(settings.upload_mb * (1 << 20)))
    if settings.token is not None:
        app.add_middleware(Token, token=settings.token)
    app.add_middleware(Log, metrics=metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
        )
    return app


def _predictions(pool: Pool, settings: ServingSettings) -> APIRouter:
    """What the service is for."""
    router = APIRouter(prefix="/v1")
    form_only = [Depends(_check_form)]

    @router.post("/predict", responses=TROUBLES, dependencies=form_only)
    async def predict(
        request: Request, file: Upload = None, text: Text = None, segments: Segments = None
    ) -> Answered:
        """The emotion in a file, in words, or in both. An empty text says that nothing is said."""
        if text is None and (await request.form()).get("text") == "":
            text = ""  # of an empty field FastAPI makes none
        if file is None and not (text or "").strip():
            raise HTTPException(422, "nothing to predict: send a file, a text or both")
        if segments is not None and (file is None or (text and segments != NONE)):
            raise HTTPException(422, "segments: cut a file without a text")
        found = await _answer(pool, settings, file, text, segments)
        if isinstance(found, Rejection):
            raise HTTPException(422, found.reason)
        return Answered(predictions=_predicted(found), errors=_left_out(found))

    @router.post("/predict/batch", responses=TROUBLES, dependencies=form_only)
    async def predict_batch(files: Uploads) -> Batch:
        """The emotion in each of several files; one that cannot be read has its error."""
        if len(files) > settings.max_files:
            most = settings.max_files
            raise HTTPException(422, f"{len(files)} files; up to {most} are accepted at once")
        answers = []
        for file in files:  # one after the other: a batch takes one place in the queue
            try:
                found = await _answer(pool, settings, file, None, None)
            except HTTPException as error:  # the others' answers are not lost by it
                found = Rejection(str(error.detail))
            name = _name(file)
            if isinstance(found, Rejection):
                answers.append(BatchItem(name=name, error=found.reason))
            else:
                done, lost = _predicted(found), _left_out(found)
                answers.append(BatchItem(name=name, predictions=done, errors=lost))
        return Batch(answers=answers)

    @router.get("/model", responses={401: TROUBLES[401]})
    async def described() -> Model:
        """What is served."""
        if pool.described is None:
            raise HTTPException(503, "the model is not loaded")
        return pool.described

    return router


def _states(pool: Pool) -> APIRouter:
    """What who runs the service asks it."""
    router = APIRouter()

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """The server runs."""
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", responses={503: {"model": ErrorResponse}})
    async def ready() -> dict[str, str]:
        """A request would be taken now."""
        if not pool.ready:
            raise HTTPException(503, "full, or not loaded")
        return {"status": "ready"}

    return router


def _page() -> APIRouter:
    """The page and its parts."""
    router = APIRouter(include_in_schema=False)

    @router.head("/")
    @router.get("/")
    async def page() -> FileResponse:
        return _file("index.html")

    @router.get("/page/{name}")
    async def part(name: str) -> FileResponse:
        if name not in PARTS:
            raise HTTPException(404, "no such page")
        return _file(name)

    return router


def _check_form(request: Request) -> None:
    """Say what to send where something else than a form came."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in FORMS:
        raise HTTPException(
            415,
            f"a body of type {kind[:LONGEST_NAME]}: send a form (multipart/form-data) with a file, "
            "a text or both, as curl -F file=@clip.wav -F 'text=Oh no!' does",
        )


def _predicted(found: Sequence[Prediction | LeftOut]) -> list[Prediction]:
    return [one for one in found if not isinstance(one, LeftOut)]


def _left_out(found: Sequence[Prediction | LeftOut]) -> list[ClipError]:
    return [
        ClipError(start=one.start, end=one.end, error=one.reason)
        for one in found
        if isinstance(one, LeftOut)
    ]


async def _answer(
    pool: Pool,
    settings: ServingSettings,
    file: UploadFile | None,
    text: str | None,
    segments: str | None,
) -> Answer:
    """What a worker says of an upload, which is gone afterwards whatever happens."""
    if fault := fault_of_text(text, settings):
        raise HTTPException(422, fault)
    with tempfile.TemporaryDirectory(prefix="emohop-") as folder:
        path, name = None, "text"
        if file is not None:
            path, name = Path(folder) / "upload", _name(file)
            await asyncio.to_thread(_copy, file, path)
        try:
            return await pool.ask(PredictRequest(path, name, text, segments))
        except FullError:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise HTTPException(429, "too many requests wait", retry) from None
        except ClosingError:
            raise HTTPException(503, "the server is about to end") from None
        except WorkerDiedError as error:
            if error.late:
                limit = f"{settings.timeout_seconds:g} s"
                raise HTTPException(504, f"{name}: took longer than {limit}") from None
            raise HTTPException(500, f"{name}: the process that read it died") from None


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
    said = first["msg"]
    if first["type"] == "value_error":  # of Starlette, in words of Python
        said = "send it as a file, with a file name"
    return JSONResponse({"error": f"{where}: {said}"}, 422)


def _file(name: str) -> FileResponse:
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(PAGE / name, headers=headers)


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as out:
        shutil.copyfileobj(file.file, out)


def _name(file: UploadFile) -> str:
    """What an upload is called, on one line and without folders."""
    plain = "".join(sign if sign.isprintable() else " " for sign in file.filename or "")
    return plain.replace("\\", "/").rpartition("/")[2].strip()[:LONGEST_NAME] or "upload"
