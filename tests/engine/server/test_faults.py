"""What goes wrong around the server: parents and engines that are killed, full disks, taken ports, wrong tokens."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from engine.server.connections import MOST
from tests.engine.server.engines import (
    PATIENCE,
    ROOT,
    TOKEN,
    Engine,
    answer,
    family,
    is_running,
    launch,
    running,
    wait_for,
)

pytestmark = pytest.mark.slow


def long_job(engine, portrait) -> str:
    """One that would go on for minutes, in the middle of its work."""
    job = engine.create(("me.png", portrait), refine_seconds="600")
    engine.follow(job, lambda status: status["stage"])
    return job


def test_nothing_is_left_of_an_engine_whose_parent_was_killed_in_the_middle_of_a_job(tmp_path, portrait):
    """A stand-in for Blender starts the engine, hands over its address, and is killed."""
    blender = (
        "import subprocess, sys, time\n"
        "words = [sys.executable, '-m', 'engine', 'serve', '--parent-stdin']\n"
        "engine = subprocess.Popen(words, stdin=subprocess.PIPE)\n"
        "time.sleep(1000)\n"
    )
    environment = os.environ | {"GAUSSIAN_HEADS_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", blender], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        ready = answer(parent.stdout)
        header = {"Authorization": f"Bearer {TOKEN}"}
        photo, options = {"photos": ("me.png", portrait)}, {"refine_seconds": "600"}
        job = requests.post(ready["url"] + "/jobs", files=photo, data=options, headers=header).json()
        job_url = f"{ready['url']}/jobs/{job['id']}"
        wait_for(lambda: requests.get(job_url, headers=header).json()["stage"], "the job")
        processes = family(ready["pid"])
        assert len(processes) > 1
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    wait_for(lambda: not any(map(is_running, processes)), "the engine's end")
    assert not list(tmp_path.glob("gaussian_heads_engine_*"))


def test_engines_leave_the_living_alone_and_clean_up_after_the_killed(start, tmp_path, portrait):
    def folders() -> list[Path]:
        return [path for path in tmp_path.glob("gaussian_heads_engine_*") if path.is_dir()]

    first = start()
    job = long_job(first, portrait)
    (own,) = folders()
    second = start()
    assert len(folders()) == 2
    assert not second.get("/health")["busy"]
    assert first.get(f"/jobs/{job}")["state"] == "running"
    assert second.request("GET", f"/jobs/{job}").status_code == 404
    assert second.request("POST", "/shutdown").json() == {"stopping": True}
    assert second.process.wait(PATIENCE) == 0
    assert first.get(f"/jobs/{job}")["state"] == "running"

    processes = first.processes()
    first.process.kill()
    wait_for(lambda: not any(map(is_running, processes)), "the engine's end")
    assert folders() == [own]
    port = urlsplit(first.ready["url"]).port
    third = start("--port", str(port))
    assert third.ready["ready"], third.ready
    assert urlsplit(third.ready["url"]).port == port  # it is free again
    assert not own.exists()


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory) -> Iterator[Engine]:
    """One engine for the tests that it must outlive."""
    with running(env={"TMPDIR": str(tmp_path_factory.mktemp("sturdy"))}) as engine:
        yield engine


def test_a_reconstruction_that_crashes_takes_only_itself(sturdy, portrait):
    job = long_job(sturdy, portrait)
    for pid in sturdy.processes()[1:]:
        psutil.Process(pid).kill()
    status = sturdy.finished(job)
    assert (status["state"], status["error"]["type"]) == ("failed", "WorkerLost")
    assert status["error"]["hint"]
    again = sturdy.finished(sturdy.create(("me.png", portrait), refine_seconds="0", count="5000"))
    assert again["state"] == "done"


def test_a_photo_that_ends_the_process_that_looks_at_it_is_not_usable(sturdy, portrait):
    """As a decoder does that crashes, or the system where memory ran out; the server and the next photo go on."""

    def check() -> dict:
        return sturdy.request("POST", "/photos/check", files={"photo": ("me.png", portrait)}).json()

    assert check()["usable"]
    checker = max(map(psutil.Process, sturdy.processes()), key=psutil.Process.create_time)
    checker.suspend()
    with ThreadPoolExecutor() as pool:
        verdict = pool.submit(check)
        with pytest.raises(TimeoutError):
            verdict.result(1)
        checker.kill()
        assert (verdict.result(PATIENCE)["usable"], verdict.result()["name"]) == (False, "me.png")
    assert "memory ran out" in verdict.result()["message"]
    assert check()["usable"]


def test_a_full_disk_is_told_as_such(start, portrait):
    """No file may grow beyond a megabyte: the upload of a larger one, and the avatar, meet it."""
    resource = pytest.importorskip("resource", reason="this system cannot limit what a process writes")
    engine = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    upload = engine.request("POST", "/jobs", files={"photos": ("big.png", bytes(3_000_000))})
    assert (upload.status_code, upload.json()["error"]["type"]) == (507, "OutputError")
    status = engine.finished(engine.create(("me.png", portrait), refine_seconds="0", count="5000"))
    assert (status["state"], status["error"]["type"]) == ("failed", "OutputError")
    assert "disk is full" in status["error"]["message"]


def test_a_taken_port_is_one_line_and_an_exit_code():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = launch("--port", str(port), stderr=subprocess.DEVNULL)
        said, _ = process.communicate(timeout=PATIENCE)
    line = answer(io.StringIO(said))
    assert line["ready"] is False
    assert str(port) in line["error"]["message"]
    assert line["error"]["hint"]
    assert process.returncode == 1


def test_a_broken_installation_is_one_line_and_an_exit_code(tmp_path):
    """Its library prints a notice first, as PyTorch's own does."""
    notice = "import os; print('A notice'); os.write(1, b'Another, from C')"
    (tmp_path / "torch.py").write_text(f"{notice}\nraise ImportError('libtorch.so is damaged')")
    process = launch(env={"PYTHONPATH": str(tmp_path)}, stderr=subprocess.PIPE)
    said, log = process.communicate(timeout=PATIENCE)
    assert "A notice" in log
    assert "Another, from C" in log
    line = answer(io.StringIO(said))
    assert line["ready"] is False
    assert "libtorch.so is damaged" in line["error"]["message"]
    assert process.returncode == 1


def test_an_engine_without_a_token_makes_one():
    with running(env={"GAUSSIAN_HEADS_TOKEN": ""}) as engine:
        assert engine.request("GET", "/health").status_code == 401
        engine.session.headers["Authorization"] = f"Bearer {engine.ready['token']}"
        assert engine.get("/health")["pid"] == engine.process.pid


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": "Bearer Straße".encode()}, 401),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "127.0.0.1.attacker.example:80"}, 403),
        ({"Host": "localhost:1"}, 200),
    ],
)
def test_only_the_parent_on_this_machine_is_served(shared, headers, status):
    response = shared.request("GET", "/health", headers=headers)
    assert response.status_code == status
    assert status == 200 or set(response.json()["error"]) == {"type", "message", "hint"}
    address = urlsplit(shared.ready["url"])
    assert address.hostname == "127.0.0.1"
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.2", 0))  # not every system has more than one address of its own
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", address.port), timeout=5)  # a wildcard address would answer here


def test_bodies_are_bounded_before_they_are_read(shared):
    address = urlsplit(shared.ready["url"])
    for path, length in (("/jobs", 1_002_000_000), ("/photos/check", 258_000_000), ("/heads/a/preview", 2_000_000)):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
        connection.putrequest("POST", path)
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        reply = connection.getresponse()
        assert reply.status == 413
        assert json.loads(reply.read())["error"]["type"] == "TooLarge"
        connection.close()
    chunked = shared.request("POST", "/heads/a/preview", data=iter([bytes(600_000)] * 2))
    assert chunked.status_code == 413


def test_the_queue_is_bounded_and_what_waits_can_be_cancelled(sturdy, portrait):
    running_job = long_job(sturdy, portrait)
    waiting = [sturdy.create(("me.png", portrait)) for _ in range(8)]
    full = sturdy.request("POST", "/jobs", files={"photos": ("me.png", portrait)})
    assert (full.status_code, full.json()["error"]["type"]) == (429, "QueueFull")
    assert sturdy.get("/health")["queued"] == 8
    for job in waiting:
        assert sturdy.request("DELETE", f"/jobs/{job}").json()["state"] == "cancelled"
    sturdy.request("DELETE", f"/jobs/{running_job}")
    assert sturdy.finished(running_job)["state"] == "cancelled"
    the_next = sturdy.create(("no.png", b"no photo"))
    assert sturdy.finished(the_next)["error"]["type"] == "PhotoError"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"name": "a/b"}, "name"),
        ({"system": "magic"}, "magic"),
        ({"head": "flame.pkl"}, "head"),
        ({"count": "5"}, "count"),
        ({"refine_seconds": "nan"}, "refine_seconds"),
    ],
)
def test_options_that_do_not_fit_are_named_before_anything_is_queued(shared, portrait, options, names):
    response = shared.request("POST", "/jobs", files={"photos": ("me.png", portrait)}, data=options)
    assert response.status_code == 422
    assert names in response.json()["error"]["message"]


def test_a_flame_file_that_is_missing_fails_the_job_with_its_name(shared, portrait):
    status = shared.finished(shared.create(("me.png", portrait), head="/nowhere/flame2023.pkl"))
    assert (status["state"], status["error"]["type"]) == ("failed", "HeadModelError")
    assert "flame2023.pkl" in status["error"]["message"]


def test_an_upload_that_is_broken_off_is_a_line_in_the_log(start, tmp_path):
    engine = start(stderr=subprocess.PIPE)
    (folder,) = (found for found in tmp_path.glob("gaussian_heads_engine_*") if found.is_dir())
    for method, path in (("POST", "/jobs"), ("POST", "/photos/check"), ("PUT", "/heads/a")):
        part = 'Content-Disposition: form-data; name="photos"; filename="a.png"'
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000000\r\n\r\n--x\r\n{part}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", urlsplit(engine.ready["url"]).port)) as connection:
            connection.sendall(head.encode() + b"a" * 300_000)
            wait_for(lambda: psutil.Process(engine.process.pid).net_connections(), "the upload's beginning")
        assert engine.get("/health")["queued"] == 0
        wait_for(lambda: not list(folder.iterdir()), f"what came of the upload to {path} to be gone")
    assert engine.request("POST", "/shutdown").status_code == 200
    engine.process.wait(PATIENCE)
    assert "Traceback" not in engine.process.stderr.read()


def test_whoever_has_no_token_cannot_keep_others_out(sturdy):
    """More connections than the engine may open files: idle ones, and some that never finish their headers."""
    sturdy.session.close()  # an idle connection of ours might be the one that is dropped
    port = urlsplit(sturdy.ready["url"]).port
    held = []
    try:
        for number in range(600):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            if number % 2:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            held.append(connection)
        assert sturdy.get("/health")["pid"] == sturdy.process.pid
        connections = [c for c in psutil.Process(sturdy.process.pid).net_connections() if c.status == "ESTABLISHED"]
        assert len(connections) <= MOST + 1
        newest = held[-1]
        newest.settimeout(PATIENCE)
        with suppress(ConnectionError):
            assert newest.recv(100) == b""  # dropped once its time for the headers is over
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize(("name", "busy"), [("SIGINT", False), ("SIGTERM", True), ("SIGHUP", False)])
def test_a_signal_ends_it_as_a_request_does(start, tmp_path, portrait, name, busy):
    if not hasattr(signal, name) or os.name == "nt":
        pytest.skip("This system has no such signal.")
    engine = start(stderr=subprocess.PIPE)
    if busy:
        long_job(engine, portrait)
    processes = engine.processes()
    engine.process.send_signal(getattr(signal, name))
    assert engine.process.wait(PATIENCE) == 0
    wait_for(lambda: not any(map(is_running, processes)), "the end of all processes")
    assert "Traceback" not in engine.process.stderr.read()
    assert not list(tmp_path.glob("gaussian_heads_engine_*"))
