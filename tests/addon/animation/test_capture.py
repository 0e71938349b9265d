"""Recordings of face capture apps are read as they are, damage and all."""

import importlib
import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

HEADER = "Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen,MouthClose,HeadYaw,HeadPitch,HeadRoll"


@pytest.fixture
def capture(addon):
    return importlib.import_module(f"{addon}.animation.capture")


@pytest.fixture
def refusal(addon):
    return importlib.import_module(f"{addon}.errors").AddonError


def test_a_phone_drops_rows_and_the_file_ends_in_the_middle_of_one(capture):
    text = "\n".join(
        (
            HEADER + ",Mood,JawOpen",
            "13:13:59:58.652,61,0.1,0.5,0.4,0.01,-0.02,0.03,happy,9",
            "13:13:59:59.652,61,0.2,0.6,0.4,0.01,-0.02,0.03,happy,9",
            "13:14:00:02.652,61,0.3,0.7,0.4,0.01,-0.02,0.03,happy,9",  # two rows never arrived
            "13:14:00:02.652,61,0.9,0.9,0.9,0.01,-0.02,0.03,happy,9",  # twice
            "13:14:00:04.652,0",  # the face was out of sight
            "13:14:00:05.652,61,nan,0.7,0.4,0.01,-0.02,0.03,happy,9",
            "13:14:02:06.652,61,0.4,0.8,0.4,0.01,-0.02,0.03,happy,9",
            "13:14:02:07.652,61,0.4,0.",
        )
    )
    read = capture.parse_capture(text)
    assert read.rate == 60
    np.testing.assert_allclose(read.times, np.array([0, 1, 4, 128]) / 60, atol=1e-9)
    np.testing.assert_allclose(read.weights["eyeBlinkLeft"], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(read.weights["jawOpen"], [0.5, 0.6, 0.7, 0.8])
    np.testing.assert_allclose(read.angles["head"], [[-0.02, 0.01, 0.03]] * 4)
    assert read.ignored == ("Mood", "JawOpen")
    told = " ".join(read.skipped)
    assert "2 rows skipped for too few values, the first in line 6" in told
    assert "1 row skipped for a number out of range, the first in line 7" in told
    assert "line 5" in told and len(read.skipped) == 3


def test_a_take_runs_past_midnight(capture):
    read = capture.parse_capture(f"{HEADER}\n23:59:59:29,61,0,0,0,0,0,0\n00:00:00:00,61,1,0,0,0,0,0\n", rate=30)
    np.testing.assert_allclose(read.times, [0, 1 / 30], atol=1e-9)


def test_other_tables_with_arkit_names_are_read_too(capture):
    seconds = capture.parse_capture("time;eye_blink_L;jaw-open;LeftEyeYaw\n2.5;0.5;0.25;-45\n3.0;1;0;45\n")
    np.testing.assert_allclose(seconds.times, [0, 0.5])
    np.testing.assert_allclose(seconds.weights["eyeBlinkLeft"], [0.5, 1])
    np.testing.assert_allclose(seconds.angles["eyeLeft"][:, 1], [-math.pi / 4, math.pi / 4])  # too much for radians
    rows = capture.parse_capture("jawOpen\n0\n1\n0\n", rate=25)
    np.testing.assert_allclose(rows.times, [0, 0.04, 0.08])
    assert (seconds.begin, seconds.times[0]) == (2.5, 0)  # where a clip's actor comes late
    frames = capture.parse_capture("Frame\tjawOpen\n10\t0\n12\t1\n", rate=24)
    np.testing.assert_allclose(frames.times, [0, 2 / 24])


@pytest.mark.parametrize(
    "text",
    ["", "\x00\x01\x02", "a,b,c\n1,2,3\n", HEADER, HEADER + "\nnever,61,0,0,0,0,0,0\n", "jawOpen,\n" + "x" * 200_000],
)
def test_what_is_no_capture_is_refused_with_a_way_out(capture, refusal, text):
    with pytest.raises(refusal) as error:
        capture.parse_capture(text, "take.csv")
    assert error.value.hint


def test_files_that_nobody_recorded_are_bounded(capture, refusal, tmp_path, monkeypatch):
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(capture.MAX_BYTES + 1)
    with pytest.raises(refusal, match="larger than"):
        capture.read_capture(huge)
    with pytest.raises(refusal, match="columns"):
        capture.parse_capture(",".join(f"c{k}" for k in range(2000)) + "\n")
    monkeypatch.setattr(capture, "MAX_ROWS", 10)
    with pytest.raises(refusal, match="rows"):
        capture.parse_capture("jawOpen\n" + "0\n" * 11)
    with pytest.raises(refusal, match="cannot be read"):
        capture.read_capture(tmp_path / "missing.csv")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rate=st.sampled_from([24.0, 25.0, 30.0, 60.0]), start=st.integers(0, 80_000))
def test_what_is_written_is_read_again(capture, data, rate, start):
    count = data.draw(st.integers(1, 40))
    times = start + np.arange(count) / rate
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    weights = {name: np.array([draw.random() for _ in times]) for name in draw.sample(capture.ARKIT_NAMES, 9)}
    angles = {"head": np.array([[draw.uniform(-1.5, 1.5) for _ in range(3)] for _ in times])}
    read = capture.parse_capture(capture.write_capture(times, weights, angles))
    np.testing.assert_allclose(read.times, times - start, atol=2e-5)  # a thousandth of a frame at 60 per second
    assert read.rate == 60 and set(read.weights) == set(capture.ARKIT_NAMES) and not read.ignored
    for name, values in read.weights.items():
        np.testing.assert_allclose(values, weights.get(name, np.zeros(count)), atol=1e-9)
    np.testing.assert_allclose(read.angles["head"], angles["head"], atol=1e-9)
    assert not read.angles["eyeLeft"].any()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.text(alphabet='0123456789.,:;\n\t"aeinfJawOpen-', max_size=300))
def test_noise_never_breaks_out(capture, refusal, noise):
    try:
        read = capture.parse_capture("Timecode,jawOpen\n" + noise)
    except refusal:
        return
    assert np.isfinite(read.weights["jawOpen"]).all() and (np.diff(read.times) > 0).all()
