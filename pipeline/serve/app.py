"""The service: `POST /classify`, `/health`, `/metrics`, a page to try it and the description of its interface.

It keeps nothing of what it is sent. Needs the extra `serve`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from fusecat import __version__
from fusecat.pipeline.serve.batching import TOP, Batcher, Overloaded, Records
from fusecat.pipeline.serve.reading import Limits, Refused, from_form, from_json, look_at, schemas
from fusecat.stages.fields import TEXTS
from fusecat.stages.prediction import Classifier
from fusecat.stages.processors import processors

SECONDS_TO_SEND = 30.0
"""After which a request that is still being sent is given up."""
_SENTENCE = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": told, "content": {"application/json": {"schema": _SENTENCE}}}
    for status, told in {
        400: "No JSON, or no form",
        408: "Too slow",
        413: "Too much",
        415: "Another type",
        422: "No product",
    }.items()
}
"""What is not answered, as OpenAPI has it: one sentence, always under `error`."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Asked(BaseModel):
    """What stands behind the ? of a request; nothing else may."""

    model_config = ConfigDict(extra="forbid")

    top: int = Field(3, ge=1, le=TOP, description="Codes per product, most probable first.")
    reasons: bool = Field(default=False, description="Say what text and image say alone, and what each field adds.")


class _Metrics:
    """What Prometheus is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("fusecat_requests", "Requests to /classify.", ["status"], registry=self.registry)
        self.products = Counter("fusecat_products", "Products classified.", registry=self.registry)
        self.seconds = Histogram("fusecat_request_seconds", "Seconds from request to answer.", registry=self.registry)
        sizes = (1, 2, 4, 8, 16, 32, 64)
        self.batch = Histogram("fusecat_batch_products", "Products of one batch.", buckets=sizes, registry=self.registry)
        self.waiting = Gauge("fusecat_waiting_products", "Products that wait for the model.", registry=self.registry)


def make_app(model: Classifier, limits: Limits, hosts: Sequence[str] = ("*",), *, places: int = 1024) -> FastAPI:
    """The application. `hosts`: names by which it may be called; `places`: products that may wait."""
    metrics = _Metrics()

    def ask(products: Sequence[Any], reasons: bool) -> Records:  # noqa: FBT001
        return list(model(products, reasons=reasons).records(TOP))

    batcher = Batcher(ask, places=places, told=metrics.batch.observe)
    metrics.waiting.set_function(lambda: batcher.waiting)
    decoders = ThreadPoolExecutor(min(4, processors()), "decoder")  # a picture of 40 megapixels takes 120 MB

    async def aside(work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(decoders, work, *given)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.get_running_loop().run_in_executor(None, batcher.close)
        decoders.shutdown()

    app: FastAPI = FastAPIOffline(redoc_url=None, title=f"fusecat: {model.strategy}", version=__version__, lifespan=lifespan)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.middleware("http")
    async def _headers(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await proceed(request)
        if response.status_code == 400 and response.headers.get("content-type", "").startswith("text/plain"):  # TrustedHost
            response = await _refused(
                request, Refused(400, f"Host: this service is called {' or '.join(dict.fromkeys(hosts))}")
            )
        if request.url.path != "/docs":  # its page starts with a script of its own
            response.headers.update(HEADERS)
        return response

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> JSONResponse:
        metrics.requests.labels(str(error.status)).inc()
        more = {"Retry-After": "1"} if error.status == 503 else None
        return JSONResponse({"error": error.sentence}, error.status, headers=more)

    @app.exception_handler(HTTPException)
    async def _failed(_: Request, error: HTTPException) -> Response:
        missing = "there is nothing here: POST /classify ({})" if error.status_code in (404, 405) else "{}"
        return JSONResponse({"error": missing.format(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return await _refused(request, Refused(422, f"{first['loc'][-1]}: {first['msg']}"))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _: Exception) -> JSONResponse:
        return await _refused(request, Refused(500, "unexpected: what it was stands in the log of the service"))

    @app.post("/classify", openapi_extra=_schema(model.texts), responses=REFUSALS)
    async def classify(request: Request, asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        """Classify one product or several."""
        begin = time.monotonic()
        if len(request.query_params.multi_items()) > len(request.query_params):
            raise Refused(422, f"{request.url.query[:60]}: an option is given twice")
        if (coding := request.headers.get("content-encoding", "identity")).casefold() != "identity":
            raise Refused(415, f"Content-Encoding {coding[:40]}: send the body as it is")
        body = await _body(request, limits.body)
        kind = request.headers.get("content-type", "application/json")
        match kind.partition(";")[0].strip().casefold():
            case "multipart/form-data":
                products = await from_form(body, kind, limits, model.texts)
            case "application/json" | "text/json":
                products = await aside(from_json, body, limits, model.texts)
            case _:
                raise Refused(415, f"{kind[:60]}: send application/json or multipart/form-data")
        await aside(look_at, products, limits)
        try:
            found = await asyncio.wrap_future(batcher.submit(products, len(body), reasons=asked.reasons))
        except Overloaded as error:
            raise Refused(503, "too many products wait; try again in a second") from error
        metrics.requests.labels("200").inc()
        metrics.products.inc(len(found))
        metrics.seconds.observe(time.monotonic() - begin)
        return {"strategy": model.strategy, "answers": [record | {"top": record["top"][: asked.top]} for record in found]}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether it answers, and what it is."""
        told = {"strategy": model.strategy, "classes": len(model.classes), "texts": list(model.texts)}
        return {"status": "ok", **told, "version": __version__}

    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)  # what watches a service asks so too

    @app.api_route("/metrics", methods=["GET", "HEAD"], include_in_schema=False)
    async def told() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    for path, name, media in (("/", "page.html", "text/html"), ("/page.js", "page.js", "text/javascript")):
        page = _page(name, media, model.texts[len(TEXTS) :])
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    return app


def _schema(texts: tuple[str, ...]) -> dict[str, Any]:
    """What a request may hold, as OpenAPI has it."""
    one, many = schemas(texts)
    form = {name: {"type": "string"} for name in texts}
    form["image"] = {"type": "array", "items": {"type": "string", "format": "binary"}}  # type: ignore[dict-item]
    content = {
        "application/json": {"schema": {"anyOf": [one.model_json_schema(), many.model_json_schema()]}},
        "multipart/form-data": {"schema": {"type": "object", "properties": form}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _page(name: str, media: str, further: Sequence[str]) -> Callable[[], Awaitable[Response]]:
    """A file of the page, with a line for each further text: a small word, checked where the model was read."""
    text = (files("fusecat.pipeline.serve") / "page" / name).read_text(encoding="utf-8")
    line = '<label>{} <input name="{}" autocomplete="off"></label>\n'
    lines = "".join(line.format(each.replace("_", " ").capitalize(), each) for each in further)
    text = text.replace("<!-- further texts -->\n", lines)

    async def page() -> Response:
        return Response(text, media_type=media)

    return page


async def _body(request: Request, most: int) -> bytes:
    """The body, at most so many bytes of it are ever held. Raises Refused."""
    too_large = Refused(413, f"the body is larger than {most:,} bytes")
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(SECONDS_TO_SEND):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except ClientDisconnect as error:  # nobody reads this, and it is no fault of the service
        raise Refused(400, "the client has gone before its body was there") from error
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {SECONDS_TO_SEND:.0f} seconds") from error
    return b"".join(parts)
