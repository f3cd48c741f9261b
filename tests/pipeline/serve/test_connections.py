"""Connections on which nothing is asked are closed; those on which somebody asks are not."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from fusecat.pipeline.serve import connections

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "SECONDS_TO_ASK", 0.5)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", http=connections.Impatient, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("sent", [b"", REQUEST[:9], REQUEST + REQUEST[:9]])
def test_who_does_not_come_to_the_end_of_a_request_is_left(port, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        answer = b""
        while part := client.recv(1000):  # until the service closes
            answer += part
    assert answer.count(b"200 OK") == (sent.count(REQUEST))


def test_who_goes_on_asking_is_not_left(port) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            client.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"ok"):
                part = client.recv(1000)
                assert part, "it was closed"
                answer += part
            time.sleep(0.05)
