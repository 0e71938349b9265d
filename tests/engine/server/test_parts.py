"""The server's parts on their own: who is drawn, who is kept, what is shown, how long it takes."""

from __future__ import annotations

import math
import socket
import time

import numpy as np
import pytest

from engine.avatar import Pose
from engine.device import Drawing
from engine.estimate import Estimate, estimated, typical_seconds, typical_table
from engine.pipeline import Options
from engine.rendering import Camera
from engine.server import jobs
from engine.server.errors import NotFound, Superseded
from engine.server.heads import MAX_HEADS, Heads, Previewer, Resident, Shot
from engine.server.serve import _bind
from engine.server.uploads import SHOWN_LENGTH, shown_name
from engine.server.worker import Done, Note

REST = Pose({}, {})


def shot(head: Resident, sequence: int, pose: Pose = REST) -> Shot:
    camera = Camera(np.diag([1.0, -1, -1, 1]), np.array([[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]), 16, 16)
    return Shot(head, pose, camera, sequence)


def test_of_waiting_pictures_only_the_newest_of_each_head_is_drawn(avatar):
    head, previewer = Resident(avatar), Previewer(Drawing("cpu"))
    old, new = previewer.request("a", shot(head, 1)), previewer.request("a", shot(head, 3))
    late = previewer.request("a", shot(head, 2))  # overtaken on the way
    other = previewer.request("b", shot(head, 1))
    previewer.start()
    for dropped in (old, late):
        with pytest.raises(Superseded):
            dropped.result(60)
    for drawn in (new, other):
        pixels = np.frombuffer(drawn.result(60).pixels, np.uint8).reshape(16, 16, 4)
        assert pixels[8, 8, 0] > 200
        assert not pixels[..., 1:3].any()
    again = previewer.request("a", shot(head, 0))  # a client that began anew counts from 0
    assert again.result(60).pixels
    previewer.close()


def test_the_head_moves_between_pictures_and_a_wrong_key_spoils_only_its_own(avatar):
    head, previewer = Resident(avatar), Previewer(Drawing("cpu"))
    previewer.start()

    def height(pose: Pose) -> float:
        pixels = np.frombuffer(previewer.request("a", shot(head, 0, pose)).result(60).pixels, np.uint8)
        alpha = pixels.reshape(16, 16, 4)[..., 3].astype(float)
        return float((alpha.sum(1) * np.arange(16)).sum() / alpha.sum())

    at_rest = height(REST)
    with pytest.raises(Exception, match="down"):
        height(Pose({"down": 1.0}, {}))
    assert height(Pose({"up": 1.0}, {})) == pytest.approx(at_rest - 2, abs=0.2)  # 0.1 m at 1 m and 20 px
    assert height(REST) == at_rest
    previewer.close()


def test_the_heads_used_last_are_kept(avatar):
    heads = Heads()
    for i in range(MAX_HEADS):
        heads.put(str(i), avatar)
    heads.get("0")
    heads.put("new", avatar)
    assert len(heads) == MAX_HEADS
    assert heads.get("0").avatar.name == "dot"
    with pytest.raises(NotFound):
        heads.get("1")
    heads.remove("new")
    with pytest.raises(NotFound):
        heads.remove("new")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Ärger.JPG", "Ärger.JPG"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\n\x1b[31mb.png", "a[31mb.png"),
        ("/", "photo"),
        ("", "photo"),
    ],
)
def test_file_names_are_shown_without_folders_and_tricks(sent, shown):
    assert shown_name(sent) == shown


def test_endless_file_names_keep_their_suffix():
    shown = shown_name("x" * 5000 + ".mp4")
    assert len(shown) <= SHOWN_LENGTH
    assert shown.endswith(".mp4")


@pytest.mark.parametrize("cap", [None, 10.0])
@pytest.mark.parametrize("pace", [0.5, 1.0, 4.0])
def test_the_remaining_time_is_right_on_fast_and_slow_machines(pace, cap):
    """A run whose stages take ``pace`` times as long as planned, and the refinement no longer than it may."""
    options = Options(refine_seconds=cap)
    plan = typical_seconds(options, images=3, clips=0)
    longest = math.inf if cap is None else 1.8 * cap
    true = {
        stage: min(pace * seconds, longest if stage == "refinement" else math.inf) for stage, seconds in plan.items()
    }
    estimate, now, total = estimated(options, images=3, clips=0), 100.0, sum(true.values())
    fractions, misses = [], []
    for stage, seconds in true.items():
        for step in range(21):
            estimate.update(stage, step / 20, now + seconds * step / 20)
            fractions.append(estimate.fraction)
            misses.append(abs(estimate.eta(now + seconds * step / 20) - (100 + total - now - seconds * step / 20)))
        now += seconds
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert np.mean(misses[len(misses) // 3 :]) < 0.15 * total
    assert misses[-1] < 0.5


def test_the_time_beforehand_is_the_sum_of_the_stages():
    for quality in ("draft", "normal", "high"):
        one, more, clip = typical_table()["surface"][quality]
        for images, clips in ((1, 0), (5, 0), (2, 3)):
            planned = sum(typical_seconds(Options(quality=quality), images, clips).values())
            assert one + (images - 1) * more + clips * clip == pytest.approx(planned)


def test_a_stage_that_takes_long_in_silence_is_not_said_to_end_in_a_second():
    estimate = estimated(Options(refine_seconds=10), images=1, clips=0)
    for k, stage in enumerate(("photos", "head model", "tracking", "surface")):
        estimate.update(stage, 0.0, 100.0 + k)
    for silent in (10.0, 20.0, 40.0):
        assert 10.0 + 0.3 * silent < estimate.eta(103.0 + silent) < 20.0 + silent


def test_a_stage_that_nobody_planned_for_costs_no_job():
    estimate = Estimate({"photos": 1.0, "files": 1.0})
    estimate.update("photos", 1.0, 1.0)
    estimate.update("polishing", 0.5, 2.0)
    estimate.update("files", 0.5, 3.0)
    assert estimate.stage == "files" and 0.5 < estimate.fraction < 1


def test_an_unexpected_error_fails_one_job_and_the_next_one_runs(tmp_path, monkeypatch):
    """The thread that serves the queue outlives whatever a worker's report does to it; a note is read at once."""
    note = "The GPU's memory did not suffice for refinement."
    reports = iter([RuntimeError("out of the blue"), Note(note), None, Done({}, ("a.jpg",), (), ())])
    running = []

    class Odd:
        alive, exit_code = True, 0

        def start(self, task):
            pass

        def report(self, timeout):
            report = next(reports)
            if report is None:
                running.extend(queue.status(job).warnings for job in list(queue._jobs))
            if isinstance(report, Exception):
                raise report
            return report

        def kill(self):
            pass

    monkeypatch.setattr(jobs, "Worker", Odd)
    queue = jobs.JobQueue(tmp_path)
    queue.start()
    ended = []
    for _ in range(2):
        job = queue.submit("Ada", Options(), lambda folder: [])
        while (status := queue.status(job)).state not in jobs.FINISHED:
            time.sleep(0.01)
        ended.append((status.state, status.error and status.error.message))
    queue.close()
    assert ended[0][0] == "failed" and "out of the blue" in ended[0][1]
    assert ended[1] == ("done", None) and running == [[], [note]]


def test_small_answers_go_at_once():
    """asyncio sets TCP_NODELAY where the listener names its protocol; without, each answer waits for 40 ms."""
    with _bind(0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
