"""The service: the answers of the model, hostile requests turned away in one sentence, and a page that works."""

import base64
import gzip
import io
import json
import math
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fusecat.pipeline.serve.app import make_app
from fusecat.pipeline.serve.batching import Batcher, Overloaded
from fusecat.pipeline.serve.reading import Limits, Refused, look_at
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.decoding import decode_bytes
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.prediction import Classifier, Model, load_model, save_model
from tests.stages.small_study import STRATEGIES, small_study

LIMITS = Limits(body=2 * 1024**2, products=64, images=2, pixels=1_000_000)


@pytest.fixture(scope="module")
def folder(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study")
    names = {"1010": "Mammifères"}
    return save_model(Model.of_runs(place, STRATEGIES[0], (1,), class_names=names), tmp_path_factory.mktemp("served") / "m", "")


@pytest.fixture(scope="module")
def model(folder) -> Classifier:
    return load_model(folder)


@pytest.fixture
def client(model):
    with TestClient(make_app(model, LIMITS, ("testserver",))) as client:
        yield client


@pytest.fixture(scope="module")
def products(sample_cut: Path) -> list[dict]:
    catalogue = read_catalogue(sample_cut, ReadingOptions(labels=False))
    return [
        {
            "id": product.id,
            "title": product.title,
            "description": product.description,
            "images": [path.read_bytes() for path in product.images],
        }
        for product in catalogue.products
    ]


def as_json(product: dict) -> dict:
    return product | {"images": [base64.b64encode(data).decode() for data in product["images"]]}


def png(width: int, height: int) -> bytes:
    """A picture that claims so many pixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def test_a_list_gets_the_answers_of_the_model_to_the_last_bit(client, model, products) -> None:
    some = products[:50]
    answer = client.post("/classify?top=2&reasons=true", json={"products": [as_json(each) for each in some]})
    assert answer.status_code == 200, answer.text
    expected = [record | {"top": record["top"][:2]} for record in model(some, reasons=True).records(2)]
    assert answer.json() == {"strategy": model.strategy, "answers": json.loads(json.dumps(expected))}


def test_one_by_one_the_codes_are_those_of_predict(client, model, products) -> None:
    """Alone a product is padded otherwise: last bits may differ (see test_classifier), codes may not."""
    some = products[:30]
    expected = list(model(some).records(3))
    for product, record in zip(some, expected, strict=True):
        (found,) = client.post("/classify", json=as_json(product)).json()["answers"]
        assert found["code"] == record["code"]
        assert found["probability"] == pytest.approx(record["probability"], abs=1e-5)


def test_a_form_with_a_picture_is_a_product(client, model) -> None:
    picture = jpeg()
    answer = client.post("/classify", data={"title": "Peluche"}, files={"image": ("a.jpg", picture)})
    (expected,) = model([{"title": "Peluche", "image": picture}]).records()
    (found,) = answer.json()["answers"]
    assert (found["code"], found["missing"]) == (expected["code"], ["description"])
    assert found["probability"] == pytest.approx(expected["probability"], rel=1e-5)
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n{}\r\n{}\r\n'
    empty = "Content-Type: application/octet-stream\r\n"
    body = part.format("title", "", "Peluche") + part.format('image"; filename="', empty, "") + "--b--\r\n"
    nothing = client.post("/classify", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert nothing.json()["answers"][0]["missing"] == ["description", "image"], "as a browser sends it"


def test_a_form_is_read_as_json_is_and_one_that_was_cut_off_is_refused(client) -> None:
    accents = client.post("/classify", data={"title": "Poupée, 人形"}, files={"image": ("é.jpg", jpeg())}).json()
    assert (
        accents == client.post("/classify", json={"title": "Poupée, 人形", "image": base64.b64encode(jpeg()).decode()}).json()
    )
    part = "--b\r\nContent-Disposition: form-data; name=title\r\n\r\n{}\r\n"
    for status, body, words in (
        (400, part.format("Livre"), "the form has no end"),
        (400, "", "the form has no end"),
        (422, (part.format("é") + "--b--").encode("latin-1"), "title: this is not UTF-8"),
        (422, part.format("x" * 200_000) + "--b--", "title: String should have at most 100000 characters"),
    ):
        answer = client.post("/classify", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
        assert answer.status_code == status and words in answer.json()["error"], answer.text


def test_a_picture_in_base64_is_read_as_browsers_and_command_lines_write_it(client) -> None:
    plain = base64.b64encode(jpeg()).decode()
    lines = base64.encodebytes(jpeg()).decode()
    answers = [
        client.post("/classify", json={"title": "x", "image": text}, headers={"content-type": kind}).json()["answers"]
        for text, kind in (
            (plain, "application/json"),
            (lines, "Application/JSON; charset=utf-8"),
            (f"data:image/jpeg;base64,{plain}", "application/json"),
            (f"DATA:image/jpeg;name=a.jpg;BASE64,{plain}", "application/json"),
        )
    ]
    assert all(answer == answers[0] for answer in answers) and "image" not in answers[0][0]["missing"]


HOSTILE = {
    "a bomb": png(60_000, 60_000),
    "cut off": jpeg()[:300],
    "empty": b"",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "html": b"<!doctype html><script>alert(1)</script>",
    "noise": bytes(range(256)) * 40,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_picture_is_refused_in_one_sentence_and_the_service_lives(client, kind: str) -> None:
    for answer in (
        client.post("/classify", json={"title": "x", "image": base64.b64encode(HOSTILE[kind]).decode()}),
        client.post("/classify", data={"title": "x"}, files={"image": ("a.jpg", HOSTILE[kind])}),
    ):
        assert answer.status_code == 422, answer.text
        assert "picture cannot be read" in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert client.post("/classify", json={"title": "x"}).status_code == 200


def test_the_pictures_of_a_request_share_a_limit() -> None:
    picture = jpeg()
    limits = Limits(pixels=(area := math.prod(decode_bytes(picture).shape[:2])), all_pixels=4 * area)
    look_at([{"images": [picture] * 4}], limits)
    with pytest.raises(Refused, match=r"product 1: more than .* pixels in one request") as refused:
        look_at([{"images": [picture] * 4}, {"images": [picture]}], limits)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"{"),
        (400, b"\xff\xfe"),
        (400, b"[" * 100_000),
        (400, b'{"title": NaN}'),
        (422, b'{"title": "a", "title": "b"}'),
        (422, b'{"products": [{"title": "a", "title": "b"}]}'),
        (422, b'{"title": "a\\ud800"}'),
        (422, b'{"\\ud800": "a"}'),
        (422, b"[]"),
        (422, b'[{"title": "a"}]'),
        (422, b"null"),
        (422, b'{"products": []}'),
        (422, b'{"products": 3}'),
        (422, b'{"titel": "x"}'),
        (422, b'{"title": 3}'),
        (422, b'{"title": "x", ' + b", ".join(b'"%d": 0' % number for number in range(1000)) + b"}"),
        (422, b'{"title": "x", "image": "/etc/passwd"}'),
        (422, b'{"title": "x", "image": "..", "images": []}'),
        (413, b'{"products": [' + b",".join([b'{"title": "x"}'] * 65) + b"]}"),
        (413, b'{"title": "x", "images": ["", "", ""]}'),
        (413, b'{"title": "' + b"x" * (2 * 1024**2) + b'"}'),
        (422, b'{"title": "' + b"x" * 200_000 + b'"}'),
    ],
)
def test_a_malformed_or_oversized_body_is_refused(client, status: int, body: bytes) -> None:
    answer = client.post("/classify", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and len(answer.json()["error"]) < 300


def test_other_requests_are_refused_in_a_sentence(client) -> None:
    queries = ("top=0", "top"), ("top=x", "top"), ("top=", "top"), ("reasons=maybe", "reasons"), ("reason=true", "reason")
    for query, place in (*queries, ("top=1&top=2", "top=1&top=2")):
        answer = client.post(f"/classify?{query}", json={"title": "x"})
        assert (answer.status_code, set(answer.json())) == (422, {"error"})
        assert answer.json()["error"].startswith(f"{place}: ") and "\n" not in answer.json()["error"]
    told = client.get("/openapi.json").text
    assert '"error"' in told and '"detail"' not in told
    assert client.post("/classify", content=b"x", headers={"content-type": "text/xml"}).status_code == 415
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/classify", content=gzip.compress(b"{}"), headers=packed)
    assert answer.status_code == 415 and answer.json() == {"error": "Content-Encoding gzip: send the body as it is"}
    assert client.post("/classify", data={"titel": "x"}, files={"image": ("a", jpeg())}).status_code == 422
    malformed = {"content-type": "multipart/form-data"}
    assert client.post("/classify", content=b"--x", headers=malformed).status_code == 400
    assert (answer := client.get("/classify")).status_code == 405 and set(answer.json()) == {"error"}
    assert client.get("/../etc/passwd").status_code == 404
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400

    def long():  # of a length that is not told
        yield from [b"x" * 65536] * 48

    assert client.post("/classify", content=long(), headers={"content-type": "application/json"}).status_code == 413


@pytest.mark.parametrize("path", ["/health", "/classify", "/", "/nowhere"])
def test_a_host_of_another_name_is_refused_in_a_sentence(client, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Host: this service is called testserver"})


def test_what_was_not_expected_is_a_sentence_that_tells_nothing(model, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of /home")

    monkeypatch.setattr("fusecat.pipeline.serve.app.from_json", broken)
    with TestClient(make_app(model, LIMITS, ("testserver",)), raise_server_exceptions=False) as client:
        answer = client.post("/classify", json={"title": "a"})
        assert answer.status_code == 500
        assert answer.json() == {"error": "unexpected: what it was stands in the log of the service"}
        assert client.get("/health").status_code == 200


def test_health_metrics_and_the_interface_are_told_without_other_hosts(client, model) -> None:
    client.post("/classify", json={"title": "x"})
    client.post("/classify", content=b"{")
    assert client.get("/health").json()["strategy"] == model.strategy
    text = client.get("/metrics").text
    assert 'fusecat_requests_total{status="200"} 1.0' in text and 'fusecat_requests_total{status="400"} 1.0' in text
    assert "/classify" in client.get("/openapi.json").json()["paths"]
    for path in ("/", "/docs", "/page.js", "/health", "/metrics"):
        found = client.get(path)
        assert found.status_code == 200
        assert path == "/docs" or client.head(path).status_code == 200
        assert "http://" not in found.text.replace("http://www.w3.org", "") and "https://" not in found.text


def test_requests_that_come_together_are_one_batch_and_each_gets_its_own() -> None:
    gate, asked = threading.Event(), []

    def ask(products, reasons):
        asked.append(list(products))
        if len(asked) == 1:
            gate.wait(10)
        if "bad" in products:
            raise ValueError
        return [{"is": product} for product in products]

    batcher = Batcher(ask, patience=0.2, places=10)
    first = batcher.submit(["a"], 1, reasons=False)
    while not asked:
        time.sleep(0.01)
    others = [batcher.submit([name], 1, reasons=False) for name in ("b", "bad", "c")]
    with pytest.raises(Overloaded):
        batcher.submit(["x"] * 20, 1, reasons=False)
    gate.set()
    assert first.result(10) == [{"is": "a"}]
    assert [others[0].result(10), others[2].result(10)] == [[{"is": "b"}], [{"is": "c"}]]
    with pytest.raises(ValueError):
        others[1].result(10)
    assert asked[1] == ["b", "bad", "c"]
    batcher.close()
    assert batcher.waiting == 0


def serve(folder: Path, *options: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "fusecat", "serve", str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    assert "http://" in line, line + process.stderr.read()
    return process, line[line.index("http://") :].split(";")[0]


def test_the_command_answers_many_at_once_and_stops_when_told(folder, model) -> None:
    process, address = serve(folder)
    try:
        (expected,) = model([{"title": "Livre ancien"}]).records(1)
        with ThreadPoolExecutor(8) as pool, httpx.Client(timeout=60) as client:
            asked = [pool.submit(client.post, f"{address}/classify", json={"title": "Livre ancien"}) for _ in range(40)]
            assert {each.result().json()["answers"][0]["code"] for each in asked} == {expected["code"]}
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_asked_before_the_end_is_answered(folder, products, number) -> None:
    process, address = serve(folder)
    try:
        body = {"products": [as_json(product) for product in products[:10]]}  # what a busy machine does in four seconds
        with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=60) as client:
            asked = [pool.submit(client.post, f"{address}/classify?reasons=true", json=body) for _ in range(4)]
            text = ""
            while "fusecat_batch_products_count 0.0" in text or not text:  # until the model is at work
                text = client.get(f"{address}/metrics").text
            process.send_signal(number)
            assert [each.result().status_code for each in asked] == [200] * 4
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_sends_no_end_of_a_request_does_not_hold_the_service(folder, number) -> None:
    process, address = serve(folder)
    place = "127.0.0.1", int(address.rpartition(":")[2])
    begun = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    try:
        with socket.create_connection(place) as client:
            client.sendall(begun)  # and leaves
        while 'fusecat_requests_total{status="400"} 1.0' not in httpx.get(f"{address}/metrics").text:
            pass
        with socket.create_connection(place) as client:
            client.sendall(begun)
            while "fusecat_waiting" not in httpx.get(f"{address}/metrics").text:
                pass
            process.send_signal(number)
            assert process.wait(30) in (0, 130)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_and_a_folder_without_a_model_are_refused_in_a_line(folder, tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, code, words in (
            ([str(folder), "--port", str(taken.getsockname()[1])], 2, "choose another"),
            ([str(tmp_path)], 4, "holds no model"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "fusecat", "serve", *arguments], capture_output=True, text=True, timeout=120
            )
            assert done.returncode == code and words in done.stderr and len(done.stderr.splitlines()) == 1
