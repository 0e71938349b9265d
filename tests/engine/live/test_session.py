"""A live session as a user has it: what is shown, what is recorded, and what the lights say."""

import csv
import json
import threading
from dataclasses import replace

import numpy as np
import psutil
import pytest
from hypothesis import given, strategies as st
from OneEuroFilter import OneEuroFilter
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.avatar import Pose
from engine.cli import main
from engine.errors import EngineError
from engine.live import filters, session as sessions
from engine.live.filters import Filter, Neutral, OneEuro, Settings
from engine.live.recording import MOST_SAMPLES, Recording
from engine.live.sample import Sample
from engine.live.session import Session
from engine.live.spec import Wish
from engine.performance import write_take
from engine.performance.take import read_take
from tests.engine.live.senders import ZERO, Sender, free_port, live_link

JAW, LEFT, RIGHT = (ARKIT_NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "mouthSmileRight"))
MIDNIGHT = 24 * 3600 * 60  # frames


@pytest.fixture
def live():
    """A session that listens for Live Link Face as it is, and a phone."""
    session = Session(Wish("livelinkface", port=free_port()), Settings())
    phone = Sender(session.state().port)
    yield session, phone
    session.close()
    phone.close()


def face(frame: int) -> tuple[dict[str, float], np.ndarray]:
    rng = np.random.default_rng(frame)
    return dict(zip(ARKIT_NAMES, rng.random(52).tolist(), strict=True)), rng.uniform(-0.5, 0.5, (3, 3))


def test_a_recorded_take_is_what_was_sent_at_its_time_codes(live, tmp_path):
    session, phone = live
    session.settings = replace(session.settings, parts=tuple(filters.PARTS))
    frames = [*range(MIDNIGHT - 40, MIDNIGHT), *range(30), *range(90, 120)]  # over midnight, and away for a second
    session.record()
    for frame in frames:
        phone.send(live_link(*face(frame), frame=frame, name="Ada / 2"))
        session.step(1.0)
    state = session.state()
    assert state.recorded == state.fps == 100 and state.connected
    recorded = session.finish()
    take = recorded.take()
    assert recorded.name == "Ada_2_23-59-59" and take.rate == pytest.approx(60)
    path = tmp_path / "take.csv"
    write_take(take, path)
    times = np.array([float(row["Time"]) for row in csv.DictReader(path.open())])
    sent = np.array([frame if frame > 1000 else frame + MIDNIGHT for frame in frames])
    assert times == pytest.approx((sent + 0.25) / 60, abs=1e-6)
    for pose, frame in zip(read_take(path), frames, strict=True):
        weights, turns = face(frame)
        assert isinstance(pose, Pose)
        left_out = [key for key in weights if key.startswith("eyeLook")]  # the eyeballs do that
        assert dict(pose.expression) == pytest.approx(weights | dict.fromkeys(left_out, 0.0), abs=1e-6)
        expected = Rotation.from_euler("xyz", turns).as_rotvec()
        joints = [pose.joint_rotations[joint] for joint in ("head", "eyeLeft", "eyeRight")]
        assert np.array(joints) == pytest.approx(expected, abs=2e-6)
    (gap,) = take.gaps
    assert (gap.start, gap.end) == pytest.approx((MIDNIGHT / 60 + 29.25 / 60, MIDNIGHT / 60 + 90.25 / 60))
    with pytest.raises(EngineError, match="Nothing is being recorded"):
        session.finish()
    session.record()
    with pytest.raises(EngineError, match="Nothing was recorded"):
        session.finish()


def test_the_lights_tell_of_a_phone_that_goes_away_and_comes_back(live, monkeypatch):
    session, phone = live
    assert not session.state().connected and session.step(0.0) is None
    phone.send(live_link({"jawOpen": 0.5}, frame=100))
    assert session.step(1.0).weights[JAW] == 0.5 and session.state().connected
    phone.send(live_link({"jawOpen": 0.6}, frame=98))  # overtaken on its way
    assert session.step(1.0) is None and session.state().dropped == 1
    phone.send(live_link({}, version=9))
    session.step(1.0)
    assert session.state().dropped == 2 and "MetaHuman" in session.state().problem
    monkeypatch.setattr(sessions, "ALIVE", -1.0)  # as if it were gone for long
    monkeypatch.setattr(sessions, "RATED", -1.0)
    assert (session.state().connected, session.state().fps) == (False, 0)
    monkeypatch.undo()
    phone.send(live_link({"jawOpen": 0.7}, frame=7))  # restarted, with another clock
    assert session.step(1.0).weights[JAW] == pytest.approx(0.7)
    assert session.state().connected and session.state().problem == "" and session.state().subject == "Ada"


def test_set_neutral_takes_the_resting_face_and_the_phones_place_away(live):
    session, phone = live
    with pytest.raises(EngineError, match="No face is seen"):
        session.rest()
    turns = np.zeros((3, 3))
    turns[0] = (-0.4, 0.2, 0.1)
    for frame in range(9):
        phone.send(live_link({"mouthSmileLeft": 0.2, "jawOpen": 0.1}, turns, frame=frame))
        session.step(1.0)
    session.settings = replace(session.settings, neutral=session.rest())
    phone.send(live_link({"mouthSmileLeft": 0.6, "jawOpen": 0.1}, turns, frame=10))
    shown = session.step(1.0)
    assert shown.weights[LEFT] == pytest.approx(0.5) and shown.weights[JAW] == 0
    assert shown.turns == pytest.approx(np.zeros((3, 3)), abs=1e-6)


def sample(weights: dict[int, float] | None = None, turns=ZERO, time: float = 0.0) -> Sample:
    values = np.zeros(52)
    for place, value in (weights or {}).items():
        values[place] = value
    return Sample(time, values, np.array(turns, float))


def test_mirror_gain_and_parts():
    turns = [[0.1, 0.2, 0.3], [0.01, 0.02, 0], [0.03, 0.04, 0]]
    seen = sample({LEFT: 0.4, JAW: 0.8, ARKIT_NAMES.index("jawLeft"): 0.3}, turns)
    shown = Filter()(seen, Settings(tuple(filters.PARTS), gain=1.5, mirror=True))
    assert shown.weights[RIGHT] == pytest.approx(0.6) and shown.weights[LEFT] == 0 and shown.weights[JAW] == 1
    assert shown.weights[ARKIT_NAMES.index("jawRight")] == pytest.approx(0.45)
    assert shown.turns == pytest.approx(np.array([[0.1, -0.2, -0.3], [0.03, -0.04, 0], [0.01, -0.02, 0]]))
    twice = Filter()(Filter()(seen, Settings(tuple(filters.PARTS), mirror=True)), Settings(mirror=True))
    assert twice.weights == pytest.approx(seen.weights) and twice.turns[0] == pytest.approx(seen.turns[0])
    brows = Filter()(sample(dict.fromkeys(range(52), 1.0), turns), Settings(("brows", "gaze")))
    assert {name for name, value in zip(ARKIT_NAMES, brows.weights, strict=True) if value} == {
        name for name in ARKIT_NAMES if name.startswith("brow")
    }
    assert not brows.turns[0].any() and brows.turns[1:].any()


@given(st.lists(st.tuples(st.floats(0.005, 0.1), st.floats(-3, 3)), min_size=1, max_size=30), st.floats(0.3, 10))
def test_the_smoothing_is_its_authors(steps, cutoff):
    ours = OneEuro()
    theirs = OneEuroFilter(60, cutoff, filters.OPENING, filters.SPEED_CUTOFF)
    time = 1.0
    for step, value in steps:
        time += step
        assert ours(time, np.array([value]), cutoff)[0] == pytest.approx(theirs(value, time), abs=1e-9)


def test_smoothing_stills_a_tremble_and_lets_a_blink_pass():
    rng, smooth = np.random.default_rng(0), Filter()
    truth = np.zeros(200)
    truth[150:153] = (0.6, 1.0, 0.6)
    seen = (truth + rng.normal(0.1, 0.01, 200)).clip(0, 1)
    shown = np.array(
        [smooth(sample({JAW: v}, time=t / 30), Settings(smoothing=0.5)).weights[JAW] for t, v in enumerate(seen)]
    )
    assert shown[20:140].std() < 0.6 * seen[20:140].std()
    assert shown[150:155].max() > 0.8
    raw = [Filter()(sample({JAW: v}), Settings()).weights[JAW] for v in seen]
    assert np.array_equal(raw, seen)


def test_the_resting_face_never_divides_by_nothing():
    everything = Neutral(np.ones(52), np.zeros((3, 3)))
    assert np.isfinite(Filter()(sample({JAW: 1.0}), Settings(neutral=everything)).weights).all()


def test_a_recording_ends_by_itself_before_the_memory_does(monkeypatch):
    monkeypatch.setattr("engine.live.recording.MOST_SAMPLES", 5)
    recording = Recording()
    for frame in range(9):
        recording.add(sample(time=frame))
    assert len(recording) == 5 < MOST_SAMPLES and recording.finish().take().frames == 5


@pytest.mark.slow
def test_thousands_of_packets_leave_memory_and_handles_as_they_were(live):
    """4 000 packets as fast as they go; ``python -m tests.engine.live.soak`` sends at 60 a second for minutes."""
    session, phone = live
    process = psutil.Process()

    def send(first: int, last: int) -> None:
        for frame in range(first, last):
            phone.send(live_link({"jawOpen": frame % 60 / 60}, frame=frame))
            if frame % 50 == 49:
                session.step(0.1)

    send(0, 1_000)
    count = process.num_handles if psutil.WINDOWS else process.num_fds
    before, handles = process.memory_info().rss, count()
    send(1_000, 4_000)
    assert process.memory_info().rss - before < 3e6 and count() == handles
    assert session.state().refused == 0


def test_the_command_records_and_says_how_it_is(tmp_path, capsys):
    port, over = free_port(), threading.Event()

    def act() -> None:
        phone = Sender(port)
        while not over.wait(1 / 60):
            act.frame += 1
            phone.send(live_link({"jawOpen": 0.25}, frame=act.frame, name="Ada"))
        phone.close()

    act.frame = 36_000
    phone = threading.Thread(target=act)
    phone.start()
    path = tmp_path / "take.csv"
    words = ["live", "--source", "livelinkface", "--port", str(port), "--record", str(path), "--seconds", "1.3"]
    try:
        assert main([*words, "--json", "-", "--gain", "2"]) == 0
    finally:
        over.set()
        phone.join()
    said = capsys.readouterr()
    state = json.loads(said.out)
    assert state["connected"] and state["subject"] == "Ada" and "fps, 0 dropped, 0 refused" in said.err
    assert "Ada_00-10-0" in said.err and len(read_take(path)) > 20
    assert read_take(path)[0].expression["jawOpen"] == pytest.approx(0.5)
    assert [main(["live", "--source", "vmc", *words]) for words in (["--smoothing", "2"], ["--port", "-3"])] == [1, 1]
    assert "0 to 1" in (said := capsys.readouterr().err) and "listened on" in said
