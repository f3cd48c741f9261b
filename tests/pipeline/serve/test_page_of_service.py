"""The page of the service, in a browser: a person types a title, and sees codes and reasons; nothing else is fetched."""

import queue
import re
import subprocess
import threading
import time
from dataclasses import replace

import pytest
import uvicorn
from fastapi import Request, Response

from fusecat.pipeline.serve.app import make_app
from fusecat.stages.prediction import load_model
from tests.pipeline.report.test_page import CHROMIUM, QUIET
from tests.pipeline.serve.test_serve import LIMITS, folder  # noqa: F401

NAME = "<script>document.title = 'bad'</script><img src=x onerror=document.title='bad'>" + "long" * 60
PROBE = """
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, form = page.getElementById("form");
  if (!form) return;
  const errors = [];
  frame.contentWindow.addEventListener("error", (event) => errors.push(event.message));
  form.elements.title.value = "Livre <b>ancien</b>";
  form.requestSubmit();
  const poll = setInterval(() => {
    if (page.querySelectorAll("#answer .bar").length < 3) return;
    clearInterval(poll);
    const wide = page.documentElement;
    const seen = {
      text: page.getElementById("answer").innerText,
      title: page.title,
      errors,
      overflow: wide.scrollWidth - wide.clientWidth,
      fetched: frame.contentWindow.performance.getEntriesByType("resource").map((one) => one.name),
    };
    fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
  }, 50);
});
frame.src = "/";
"""


@pytest.fixture(scope="module")
def service(folder):  # noqa: F811
    model = load_model(folder)
    model = replace(model, class_names=dict.fromkeys(model.classes, NAME))
    app = make_app(model, LIMITS, ("127.0.0.1",))
    told: queue.Queue[dict] = queue.Queue()

    async def seen(request: Request) -> None:
        told.put(await request.json())

    app.add_api_route("/seen", seen, methods=["POST"])
    pages = {"/probe": ("<iframe width=320 height=800></iframe><script src=probe.js></script>", "text/html")}
    pages["/probe.js"] = (PROBE, "text/javascript")
    for path, (text, kind) in pages.items():

        def page(text: str = text, kind: str = kind) -> Response:
            return Response(text, media_type=kind)

        app.add_api_route(path, lambda page=page: page())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", told
    server.should_exit = True
    thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_asks_and_shows_the_answer_on_a_phone(service, tmp_path) -> None:
    address, told = service
    place = f"--user-data-dir={tmp_path / 'chromium'}"
    browser = subprocess.Popen(
        [CHROMIUM, *QUIET, place, "--remote-debugging-port=0", f"{address}/probe"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        seen = told.get(timeout=120)
    finally:
        browser.kill()
        browser.wait()
    assert seen["text"].startswith("Most probable") and "Alone they say" in seen["text"] and "image: not given" in seen["text"]
    assert re.search(r"title\s+[+−]\d+\.\d %", seen["text"]) and "Missing: description, image" in seen["text"]
    assert (seen["overflow"] <= 0, seen["errors"]) == (True, [])
    assert NAME in seen["text"] and seen["title"] == "fusecat: classify a product"
    assert all(name.startswith(address) for name in seen["fetched"]) and any("classify" in name for name in seen["fetched"])
