"""What a user does at the command line, and what goes wrong there."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import assets
from engine.arkit import ARKIT_NAMES
from engine.avatar import load
from engine.cli import main
from engine.formats.avatar_layout import is_name, plain_name
from engine.formats.splats.ply import read_ply

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One small head from two photos of one person; the story's other chapters use it."""
    folder = tmp_path_factory.mktemp("head")
    photos = [str(assets.path(f"samples/person_a_{i}.jpg")) for i in (1, 2)]
    stranger = str(assets.path("samples/person_b_1.jpg"))
    code = main(
        ["reconstruct", *photos, stranger, "-o", str(folder / "head.npz"), "--gaussians", "30000", "--refine", "3",
         "--ply", str(folder / "head.ply"), "--sheet", str(folder / "head.png"), "--json", str(folder / "head.json")]
    )  # fmt: skip
    assert code == 0
    return folder


@pytest.mark.slow
def test_photos_become_a_head_and_the_stranger_is_named(made):
    report = json.loads((made / "head.json").read_text("utf-8"))
    assert [row["name"] for row in report["photos"]] == ["person_a_1.jpg", "person_a_2.jpg"]
    assert "person_b_1.jpg" in report["set_aside"][0]["reason"]
    assert all(row["landmark_px"] < 2 for row in report["photos"])
    decibels = sorted(row["psnr"] for row in report["photos"])
    assert decibels[0] > 10 and decibels[1] > 18  # the head has one photo's light and hair, and is less like the other
    assert {"photos", "tracking", "surface", "refinement"} <= set(report["seconds"])
    avatar = load(made / "head.npz")
    assert avatar.name == "head"
    assert avatar.key_names[:52] == ARKIT_NAMES
    assert [photo["name"] for photo in avatar.provenance["photos"]] == ["person_a_1.jpg", "person_a_2.jpg"]
    assert avatar.provenance["head_model"]["licence"].startswith("CC0")
    assert len(read_ply(made / "head.ply").splats.means) > 25_000
    assert Image.open(made / "head.png").width > 1000


@pytest.mark.slow
def test_the_same_photos_give_the_same_head(made, tmp_path):
    """Without the time-boxed refinement the result does not depend on the run."""
    photo = str(assets.path("samples/person_a_2.jpg"))
    words = ["--gaussians", "20000", "--refine", "0"]
    for name in ("a", "b"):
        assert main(["reconstruct", photo, "-o", str(tmp_path / f"{name}.npz"), *words]) == 0
    a, b = load(tmp_path / "a.npz"), load(tmp_path / "b.npz")
    assert np.array_equal(a.gaussians.colors, b.gaussians.colors)
    assert np.array_equal(a.vertices, b.vertices)


@pytest.mark.slow
def test_a_head_is_rendered_inspected_and_exported(made, tmp_path, capsys):
    head = str(made / "head.npz")
    still = tmp_path / "smile.png"
    words = ["--expression", "mouthSmileLeft=0.8", "--joint", "neck=0,15,0", "--size", "128"]
    assert main(["render", head, "-o", str(still), "--background", "transparent", *words]) == 0
    pixels = np.asarray(Image.open(still))
    assert pixels.shape == (128, 128, 4) and pixels[0, 0, 3] == 0 and pixels[64, 64, 3] > 200
    movie = tmp_path / "turn.mp4"
    assert main(["render", head, "-o", str(movie), "--size", "64", "--seconds", "0.2"]) == 0
    assert movie.stat().st_size > 500
    assert main(["inspect", head, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shape keys"] == 52
    assert main(["export", head, "-o", str(tmp_path / "head.splat"), "--expression", "jawOpen=1"]) == 0
    assert (tmp_path / "head.splat").stat().st_size % 32 == 0


@pytest.mark.slow
def test_an_open_jaw_moves_the_chin_down_in_the_picture(made, tmp_path):
    """Independent of our own figures: where MediaPipe sees the lower lip on the two renders."""
    from engine.landmarker import detect_faces

    heights = {}
    for weight in (0, 1):
        path = tmp_path / f"{weight}.png"
        words = ["--expression", f"jawOpen={weight}", "--size", "384"]
        assert main(["render", str(made / "head.npz"), "-o", str(path), *words]) == 0
        face = detect_faces(np.asarray(Image.open(path)))[0]
        heights[weight] = face.landmarks[14, 1] - face.landmarks[13, 1]  # inner lips
    assert heights[1] > heights[0] + 10


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inspect", "missing.npz"], 5, "missing.npz"),
        (["reconstruct", "missing.jpg", "-o", "x.npz"], 3, "missing.jpg"),
        (["reconstruct", "photo.jpg", "-o", "x.txt"], 1, "x.txt"),
        (["reconstruct", "photo.jpg", "-o", "nowhere/x.npz"], 7, "nowhere"),
        (["reconstruct", "photo.jpg", "-o", "x.npz", "--system", "magic"], 1, "magic"),
        (["reconstruct", "photo.jpg", "-o", "x.npz", "--gaussians", "5"], 1, "5 Gaussians"),
        (["reconstruct", "photo.jpg", "-o", "x.npz", "--json", "nowhere/x.json"], 7, "nowhere"),
        (["reconstruct", "photo.jpg", "-o", "x.npz", "--name", "a/b"], 1, "'a/b' cannot be the name"),
        (["reconstruct", "photo.jpg", "-o", "x.npz", "--name", "n" * 64], 1, "63 printable"),
        (["reconstruct", "[photo].jpg", "-o", "x.npz"], 3, "[photo].jpg"),
        (["evaluate"], 1, "Nothing to evaluate"),
    ],
)
def test_mistakes_are_named_with_a_way_out(words, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    said = capsys.readouterr().err.replace("\n", " ")
    assert message in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_unknown_keys_and_broken_weights_are_named(made, tmp_path, capsys):
    head, out = str(made / "head.npz"), str(tmp_path / "x.png")
    assert main(["render", head, "-o", out, "--expression", "jawOpne=1"]) == 5
    assert "jawOpne" in capsys.readouterr().err
    assert main(["render", head, "-o", out, "--expression", "jawOpen=wide"]) == 1
    assert "jawOpen=wide" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["jawOpen=0,8", "jawOpen=nan", "jawOpen=80", "jawOpen=-inf", "jawOpen=", "jawOpen"])
@pytest.mark.parametrize("command", ["render", "export"])
def test_a_weight_that_is_no_weight_draws_nothing(made, command, word, tmp_path, capsys):
    out = tmp_path / ("x.png" if command == "render" else "x.ply")
    assert main([command, str(made / "head.npz"), "-o", str(out), "--expression", word]) == 1
    assert f"{word} is not understood" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("word", ["jaw=1", "jaw=1,2,3,4", "jaw=nan,0,0", "jaw=9999,0,0"])
def test_a_turn_needs_three_angles(made, word, tmp_path, capsys):
    assert main(["render", str(made / "head.npz"), "-o", str(tmp_path / "x.png"), "--joint", word]) == 1
    assert "neck=0,20,0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--yaw", "nan"], ["--pitch", "120"], ["--size", "0"], ["--seconds", "inf"]])
def test_numbers_out_of_range_are_refused_before_work(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["render", "missing.npz", "-o", "x.png", *words])
    assert ended.value.code == 2
    assert f"{words[1]} is not within" in capsys.readouterr().err


def test_an_output_that_is_a_folder_is_refused_before_work(tmp_path, capsys):
    (tmp_path / "folder.npz").mkdir()
    assert main(["reconstruct", "missing.jpg", "-o", str(tmp_path / "folder.npz")]) == 7
    assert "is a folder" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("option", ["--json", "--ply", "--sheet"])
def test_a_photo_is_never_written_over(option, tmp_path, capsys):
    """``--json`` before the photos takes the first of them for its file."""
    photo = tmp_path / "front.jpg"
    photo.write_bytes(assets.path("samples/person_a_1.jpg").read_bytes())
    before = photo.read_bytes()
    words = ["reconstruct", "-o", str(tmp_path / "me.npz"), option, str(photo), str(photo)]
    assert main(words) == 1
    assert "unknown kind" in capsys.readouterr().err
    assert photo.read_bytes() == before
    picture = tmp_path / "front.png"
    picture.write_bytes(before)
    assert main(["reconstruct", str(picture), "-o", str(tmp_path / "me.npz"), "--sheet", str(picture)]) == 1
    assert "is one of the photos" in capsys.readouterr().err.replace("\n", "")
    assert picture.read_bytes() == before


def test_any_files_name_gives_a_legal_name():
    assert plain_name("می\u200cخواهم") == "میخواهم"
    assert plain_name("a/b\n") == "a_b"
    assert plain_name("\u200c") == plain_name("") == "Head"
    assert all(is_name(plain_name(text)) for text in ("ü" * 100, "x" * 62 + "日", " . ", "..", "a\tb"))


@pytest.mark.slow
def test_brackets_in_a_name_are_shown_as_they_are(tmp_path, capsys):
    photo = tmp_path / "front [red]/me [bold] [x].png"
    photo.parent.mkdir()
    photo.write_bytes(assets.path("samples/astronaut.png").read_bytes())
    words = ["reconstruct", str(photo), "-o", str(tmp_path / "me [b].npz"), "--refine", "0", "--gaussians", "5000"]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "me [b].npz")]) == 0
    assert "me [bold] [x].png" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "none [b].npz")]) == 5
    assert "none [b].npz" in capsys.readouterr().err


@pytest.mark.slow
def test_a_terminal_of_another_encoding_gets_a_table(made):
    words = [sys.executable, "-m", "engine", "inspect", str(made / "head.npz")]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    assert subprocess.run(words, capture_output=True, env=environment, check=False).returncode == 0


@pytest.mark.slow
def test_a_pickle_that_runs_code_is_refused_as_a_head_model(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'exploded'}",)

    (tmp_path / "flame.pkl").write_bytes(pickle.dumps({"v_template": Bomb()}))
    photo = str(assets.path("samples/person_a_2.jpg"))
    words = ["reconstruct", photo, "-o", str(tmp_path / "x.npz"), "--head", str(tmp_path / "flame.pkl")]
    assert main(words) == 4
    assert not (tmp_path / "exploded").exists()
    assert "flame.pkl" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all of a console, these tests too")
@pytest.mark.parametrize("stage", ["tracking", "refinement"])
def test_ctrl_c_leaves_nothing_behind(stage, tmp_path):
    """A real process, interrupted as soon as it reports a stage."""
    watch = (
        "import sys\n"
        "from engine import progress\n"
        "start = progress.Progress.start\n"
        "def tell(self, name):\n"
        "    start(self, name)\n"
        "    sys.stdout.write(name + '\\n'); sys.stdout.flush()\n"
        "progress.Progress.start = tell\n"
        "from engine.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    photo = str(assets.path("samples/person_a_2.jpg"))
    words = ["reconstruct", photo, "-o", str(tmp_path / "x.npz"), "--refine", "60", "--gaussians", "30000"]
    with subprocess.Popen(
        [sys.executable, "-c", watch, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == stage:
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Cancelled" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.9])
def test_ctrl_c_before_anything_began_ends_without_a_traceback(seconds, tmp_path):
    started = "import runpy; import engine.bootstrap; print(flush=True); runpy.run_module('engine', None, '__main__')"
    words = [sys.executable, "-c", started, "reconstruct", "missing.jpg", "-o", str(tmp_path / "x.npz")]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # Python's own start is not ours
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
