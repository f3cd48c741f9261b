"""`fusecat serve`: an exported model behind HTTP."""

import asyncio
import ipaddress
import logging
import socket
from pathlib import Path

import click

from fusecat.pipeline.console import console, merges_option, safe, warn
from fusecat.stages.errors import UsageError
from fusecat.stages.progress import finishing, shown_otherwise

TO_FINISH = 4
"""Seconds that requests under way may take after Ctrl-C or SIGTERM; half a second later the process is gone."""


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", help="Address to listen on; the default is this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0: any that is free.")
@click.option("--max-body", type=click.IntRange(1024), default=16 * 1024**2, help="Bytes of a request.")
@click.option("--max-products", type=click.IntRange(1), default=64, help="Products of a request.")
@click.option("--max-pixels", type=click.IntRange(1), default=40_000_000, help="Pixels of a picture.")
@click.option("--queue", type=click.IntRange(1), default=1024, help="Products that may wait; then 503.")
@merges_option
def command(
    model: Path, *, host: str, port: int, max_body: int, max_products: int, max_pixels: int, queue: int, merges: tuple[str, ...]
) -> None:
    """Answer requests with MODEL, a folder that 'fusecat export' wrote, until Ctrl-C or SIGTERM.

    POST /classify takes products as JSON ({"title": ..., "description": ..., "image": base64}, or {"products": [...]}) or as a
    form with a picture, and gives codes, names and probabilities; ?reasons=true adds what text and image say alone. A page to
    try it is at /, the description of the interface at /docs; /health and /metrics are for monitoring. Nothing that
    is sent is kept. There are no users and no passwords: put a proxy before it that has them. When it is stopped, what was
    asked before is answered, for 4 seconds at most.
    """
    from fusecat.stages.extraction.quiet import quieten

    try:
        import uvicorn

        from fusecat.pipeline.serve.app import make_app
        from fusecat.pipeline.serve.connections import Impatient
    except ImportError as error:
        raise UsageError(f"serve needs {error.name}: pip install 'fusecat[serve]'") from error
    from fusecat.pipeline.serve.reading import Limits
    from fusecat.stages.prediction import load_model

    quieten()
    loaded = load_model(model, merges=merges)
    loaded([{"title": "-"}])  # the networks are loaded, and what is missing is said, before anybody asks
    listening = _listen(host, port)
    address = f"[{host}]" if ":" in host else host
    here = _loopback(host)
    limits = Limits(body=max_body, products=max_products, pixels=max_pixels)
    # a page of another site must not reach this machine's service by a name of its own
    app = make_app(loaded, limits, ("127.0.0.1", "localhost", "[::1]", address) if here else ("*",), places=queue)
    if not here:
        warn(f"--host {host}: whoever reaches this machine may ask")
    url = f"http://{address}:{listening.getsockname()[1]}"
    console().print(safe(f"{model} ({loaded.strategy}) answers at {url}; Ctrl-C stops it"), markup=False)
    settings = uvicorn.Config(
        app,
        http=Impatient,
        log_level="warning",
        access_log=False,
        limit_concurrency=512,
        timeout_graceful_shutdown=TO_FINISH,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
    try:
        with shown_otherwise(), finishing(TO_FINISH + 0.5):  # a service at rest is no work that takes long
            uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:  # raised again by uvicorn when all that was asked is answered
        return


def _is_a_fault(record: logging.LogRecord) -> bool:
    """What is cut off at the end is no fault of the service, and a line tells of it already."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen()  # whoever reads the address may call at once
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror or error}; choose another, or --port 0 for any that is free"
        ) from error
    return listening


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
