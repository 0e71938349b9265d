"""What goes to the engine arrives as it was meant, and what comes back is understood or refused."""

import errno
import socketserver
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def client(engine):
    return engine.wait_ready(30)


def seen(client):
    return client._json("GET", "/seen")


def write(path: Path, data: bytes) -> bool:
    """Whether the file system takes a file of this name."""
    path.parent.mkdir()
    try:
        path.write_bytes(data)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def test_photos_arrive_whole_under_names_that_can_be_told_apart(client, parts, tmp_path):
    wanted = {"a/IMG 1.jpg": b"one", "b/IMG 1.jpg": bytes(range(256)) * 5000, "c/Größe.png": b"\r\n--boundary"}
    wanted |= {'d/Größe "x".png': b"\r\n--boundary", "e/two\nlines.png": b""}
    content = {name: data for name, data in wanted.items() if write(tmp_path / name, data)}
    assert len(content) >= 3
    options = parts.messages.JobOptions(head="/models/flame.npz", refine_seconds=2.5, count=20_000)
    client.create_job([tmp_path / name for name in content], "Zoë", options)
    (upload,) = seen(client)["uploads"]
    assert upload["sizes"] == [len(data) for data in content.values()]
    assert upload["names"][:2] == ["IMG 1.jpg", "IMG 1 (2).jpg"]
    keys = ("name", "system", "head", "quality", "refine_seconds", "count", "frames")
    assert {key: upload[key] for key in keys} == {
        "name": "Zoë",
        "system": "surface",
        "head": "/models/flame.npz",
        "quality": "normal",
        "refine_seconds": "2.5",
        "count": "20000",
        "frames": "4",
    }


def test_a_cancelled_upload_ends_on_its_way_and_the_client_goes_on(client, parts, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(4_000_000))
    asked = iter([False] * 3 + [True] * 100)
    with pytest.raises(parts.errors.AddonError, match="Cancelled"):
        client.create_job([clip], "A", parts.messages.JobOptions(), lambda: next(asked))
    assert seen(client)["uploads"] == []


def test_refusals_keep_the_engines_words(client, parts, tmp_path):
    photo = tmp_path / "a.png"
    photo.write_bytes(b"no face")
    verdict = client.check_photo(photo)
    assert (verdict.usable, verdict.message) == (False, "No face was found in a.png.")
    for _ in range(8):
        client.create_job([photo], "A", parts.messages.JobOptions())
    with pytest.raises(parts.messages.EngineRefusal) as refused:
        client.create_job([photo], "A", parts.messages.JobOptions())
    assert (refused.value.status, refused.value.kind) == (429, "QueueFull")
    assert str(refused.value) == "Too many jobs wait. Wait for one."
    with pytest.raises(parts.messages.EngineRefusal) as refused:
        client.job("unknown")
    assert refused.value.status == 404


@contextmanager
def hostile(answer):
    """A server that accepts one connection after the other and lets ``answer`` write what it likes."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            with suppress(OSError):
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def reply(body, length=None, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("status", ["200 OK", "500 Error"])
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"{}", b"[]", b"null", b'{"error": 1}', b"\xff", b'{"id": ' + b"[" * 90_000]
)
def test_answers_of_anybody_are_data(parts, body, status):
    with hostile(lambda connection: connection.sendall(reply(body, status=status))) as url:
        client = parts.client.Client(url, "token")
        with pytest.raises(parts.errors.AddonError) as caught:
            client.job("0")
        assert caught.value.hint
        if (body, status) != (b"{}", "200 OK") and body != b'{"error": 1}':
            with pytest.raises(parts.errors.AddonError):
                client.health()


def test_an_answer_that_drips_in_is_not_waited_for(parts, monkeypatch):
    """Each byte comes in time; all of them would take an hour."""
    monkeypatch.setattr(parts.client, "ANSWER_SECONDS", 1.0)
    ended = threading.Event()

    def drip(connection):
        connection.sendall(reply(b"{", 4000))
        while not ended.wait(0.1):
            connection.sendall(b" ")

    with hostile(drip) as url:
        with pytest.raises(parts.messages.EngineLost):
            parts.client.Client(url, "token")._json("GET", "/health", None, 1.0)
        ended.set()


def test_an_answer_that_is_cut_short_is_no_answer(parts):
    with hostile(lambda connection: connection.sendall(reply(b'{"a": 1}', 4000))) as url:
        with pytest.raises(parts.messages.EngineLost):
            parts.client.Client(url, "token").health()


def test_missing_photos_are_named(client, parts, tmp_path):
    with pytest.raises(parts.errors.AddonError, match=r"gone\.png cannot be read"):
        client.check_photo(tmp_path / "gone.png")
    with pytest.raises(parts.errors.AddonError, match="65 photos"):
        client.create_job([tmp_path / "a.png"] * 65, "A", parts.messages.JobOptions())


def test_a_preview_frame_has_the_size_that_was_asked_for(client, parts):
    eye = np.eye(4).tolist()
    request = parts.messages.PreviewRequest(eye, eye, 5, 3, 17, expression={"jawOpen": 0.5})
    frame = client.preview("a", request)
    assert frame.pixels.shape == (3, 5, 4)
    assert frame.pixels.dtype == np.uint8
    assert (frame.sequence, frame.milliseconds) == (17, 1.5)
