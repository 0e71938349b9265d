"""Live through the server, as Blender asks for it: a question waits for the newest sample and for nothing older."""

import csv
import socket
from types import SimpleNamespace

import psutil
import pytest

from engine.server.live import ABANDONED, Live
from engine.server.live_process import Report
from tests.engine.live.senders import Sender, free_port, live_link
from tests.engine.server.engines import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def phone(shared):
    """A phone that the shared engine listens to."""
    phone = Sender(free_port())
    answer = shared.request("POST", "/live", json={"source": "livelinkface", "port": phone.port})
    assert answer.status_code == 200, answer.text
    assert answer.json()["running"] and answer.json()["port"] == phone.port and not answer.json()["connected"]
    yield phone
    phone.close()
    assert shared.request("DELETE", "/live").json()["running"] is False


def newest(shared, after: int) -> dict:
    """The first sample after one."""
    return wait_for(lambda: (now := ask(shared, after))["sequence"] > after and now, "a sample")


def ask(shared, after: int) -> dict:
    return shared.get(f"/live?after={after}&seconds=1")


def test_a_phone_moves_a_face_and_is_recorded(shared, phone, tmp_path):
    first = shared.get("/live")["sequence"]
    for frame in range(20):  # nobody asks meanwhile
        phone.send(live_link({"jawOpen": frame / 20}, frame=frame))
    now = wait_for(lambda: (now := newest(shared, first))["weights"]["jawOpen"] == 0.95 and now, "the newest one")
    assert now["connected"] and now["subject"] == "Ada" and now["dropped"] == now["refused"] == 0
    assert now["time"] == pytest.approx(19.25 / 60) and set(now["turns"]) == {"head"}
    assert shared.get(f"/live?after={now['sequence']}&seconds=0.05")["sequence"] == now["sequence"]

    rest = shared.request("POST", "/live/neutral").json()
    assert rest["weights"]["jawOpen"] == pytest.approx(0.475, abs=0.03)  # the median of what came just now
    settings = {"gain": 2.0, "parts": ["mouth"], "neutral": {"weights": {"jawOpen": 0.5}}}
    assert shared.request("PUT", "/live/settings", json=settings).status_code == 204
    assert shared.request("POST", "/live/recording").status_code == 204
    phone.send(live_link({"jawOpen": 0.625, "browInnerUp": 1.0}, frame=60))
    now = newest(shared, now["sequence"])
    assert now["weights"]["jawOpen"] == 0.5 and "browInnerUp" not in now["weights"] and now["turns"] == {}
    wait_for(lambda: shared.get("/live")["recorded"] == 1, "the recording")
    take = shared.request("POST", "/live/recording/take")
    assert take.headers["X-Take"] == "Ada_00-00-01" and take.headers["Content-Type"].startswith("text/csv")
    (row,) = csv.DictReader(take.text.splitlines())
    assert (float(row["Time"]), float(row["JawOpen"])) == (pytest.approx(60.25 / 60, abs=1e-6), 0.5)


def test_what_cannot_be_is_told(shared, phone):
    taken = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        answer = shared.request("POST", "/live", json={"source": "vmc", "port": taken})
    assert answer.status_code == 422 and "is taken" in answer.json()["error"]["message"]
    assert shared.get("/live")["running"] is False
    for method, path in (("PUT", "/live/settings"), ("POST", "/live/neutral"), ("POST", "/live/recording/take")):
        answer = shared.request(method, path, json={})
        assert answer.status_code == 409 and "Start a live source" in answer.json()["error"]["hint"]
    assert "no live source" in shared.request("POST", "/live", json={"source": "fax"}).json()["error"]["message"]


def test_a_source_whose_process_dies_leaves_the_server_and_says_so(shared, phone):
    ours = [psutil.Process(pid) for pid in shared.processes()]
    listening = [each.pid for each in ours if any(c.laddr.port == phone.port for c in each.net_connections("udp"))]
    psutil.Process(listening[0]).kill()
    now = wait_for(lambda: not (now := shared.get("/live"))["running"] and now, "the end")
    assert "The live source's program ended with" in now["ended"]


def test_a_source_that_nobody_asks_for_ends():
    """As where Blender was killed, and the engine runs on elsewhere: nobody would close the port."""
    ended, live = [], Live()
    live._helper = SimpleNamespace(kill=lambda: ended.append(True))
    live.wait(0, 0.0)
    live._note(live._helper, Report(None, None))
    assert not ended
    live._asked -= ABANDONED + 1
    live._note(live._helper, Report(None, None))
    assert ended
