"""Pictures and tables in an object store: a server on this machine that speaks S3, and one that refuses everything."""

import http.server
import pickle
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.prediction import addresses
from fusecat.stages.prediction.addresses import for_ray, place, reaching
from fusecat.stages.prediction.arrow_products import Pictures, products_of

KEY = "photos/été 100% #1?.jpg"
FIELDS = {"id": "id", "image": "image"}


def of_store(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in (
        ("ENDPOINT_URL", endpoint),
        ("ACCESS_KEY_ID", "a"),
        ("SECRET_ACCESS_KEY", "b"),
        ("REGION", "eu-west-3"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    addresses._store.cache_clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    of_store(monkeypatch, server)
    from pyarrow.fs import S3FileSystem

    S3FileSystem(endpoint_override=server, allow_bucket_creation=True).create_dir("shop")
    files, path = place(f"s3://shop/{KEY}")
    with files.open_output_stream(path) as file:
        file.write(b"a picture")
    yield "s3://shop"
    addresses._store.cache_clear()


@pytest.mark.parametrize(
    ("root", "name"), [("/nowhere", f"s3://shop/{KEY}"), ("s3://shop/photos", KEY.partition("/")[2]), ("s3://shop", KEY)]
)
def test_a_key_is_read_as_it_is_written(bucket, root: str, name: str) -> None:
    pictures = pickle.loads(pickle.dumps(Pictures(root)))  # as Ray sends it to another machine
    assert pictures.read(name) == b"a picture"
    assert pictures.read(f"{name} ") is None


def test_a_bucket_that_is_not_there_is_no_absent_picture(bucket) -> None:
    for root, name in (("/", f"s3://shup/{KEY}"), ("s3://shup", KEY)):
        with pytest.raises(DataError, match=r"^product 'a': column image: .*: there is no bucket shup, or"):
            products_of(pa.table({"id": ["a"], "image": [name]}), FIELDS, Pictures(root))
    with pytest.raises(DataError, match="lies outside of s3://shop/photos"):
        Pictures("s3://shop/photos").read("../secret.jpg")


def test_what_a_store_refuses_is_told_in_a_line(monkeypatch) -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - the name that the library calls

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        of_store(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
        try:
            with pytest.raises(DataError, match=r"'s3://shop/a.jpg': .*ACCESS_DENIED.*\(are AWS_ACCESS_KEY_ID and") as refused:
                Pictures("/").read("s3://shop/a.jpg")
            with pytest.raises(DataError, match=r"^s3://shop/in: .*ACCESS_DENIED"), reaching("s3://shop/in"):
                place("s3://shop/in")[0].get_file_info("shop/in")
        finally:
            server.shutdown()
            thread.join()
    assert "\n" not in str(refused.value)
    addresses._store.cache_clear()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3://key:secret@shop/a", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3://", "an address is s3://BUCKET/KEY"),
        ("s4://shop/a", "s4://shop: Unrecognized filesystem type"),
    ],
)
def test_what_is_no_address_is_refused(name: str, message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        place(name)


def test_ray_is_given_the_key_as_it_is_written(bucket, tmp_path) -> None:
    assert for_ray(f"s3://shop/{KEY}/")["path"] == f"s3://shop/{KEY}"
    assert for_ray(str(tmp_path / "a b%20#"))["path"] == str(tmp_path / "a b%20#")
    assert for_ray((tmp_path / "a b%").as_uri())["path"] == str(tmp_path / "a b%"), "a file's URI is written in code"
