"""Exports as an artist asks for them: by name, in a program's axes, thinner, and frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.avatar import Avatar, Pose, drive, save
from engine.cli import main
from engine.errors import Cancelled, EngineError
from engine.exchange.exporting import export, export_frames
from engine.formats.splats import splat_formats
from engine.formats.splats.ply import read_ply
from engine.formats.viewers import AXES, VISIBLE, from_file
from engine.gaussians.eigenbasis import Eigenbasis
from engine.models.kit.scene import shell_avatar
from engine.progress import Progress
from tests.engine.avatars import PROVENANCE

TAKE = "Time,JawOpen,eyeblinkleft,HeadPitch,HeadYaw,HeadRoll\n0,0,0,0,0,0\n0.1,0.5,1,0,0.3,0\n0.2,1,0,0.1,0.2,0\n"


@pytest.fixture(scope="module")
def head() -> Avatar:
    made = shell_avatar(600, torch.device("cpu"))
    opacities = made.gaussians.opacities.clone()
    opacities[:50] = 0.5 / 255
    scales = made.gaussians.scales * torch.linspace(0.5, 1.5, 600)[:, None]
    return replace(made, gaussians=replace(made.gaussians, opacities=opacities, scales=scales), provenance=PROVENANCE)


def farthest(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """Metres from the place [3] of N that has no found one near it."""
    return float(torch.cdist(wanted.double(), found.double()).amin(dim=1).max())


@pytest.fixture
def head_file(head, tmp_path) -> Path:
    save(head, tmp_path / "head.npz")
    return tmp_path / "head.npz"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.compressed.ply", "npx @playcanvas/splat-transform x.ply x.compressed.ply"),
        ("x.SOG", "splat-transform x.ply x.SOG"),
        ("my.head.ksplat", "splat-transform my.head.ply my.head.ksplat"),
        ("x.spz.ply", "one ending"),
        ("x.obj", "ends in .ply"),
        ("ply", "ends in .ply"),
        (".ply.splat.txt", "ends in .ply"),
    ],
)
def test_a_name_that_means_another_format_is_refused_before_work(tmp_path, capsys, name, said):
    assert main(["export", "missing.npz", "-o", str(tmp_path / name)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", [["--ply", "x.obj"], ["--ply", "x.compressed.ply"], ["--sheet", "x.jpg"], ["--json", "x.txt"]]
)
def test_no_option_writes_another_format_than_its_name_says(tmp_path, capsys, words):
    out = [str(tmp_path / word) if "." in word else word for word in words]
    assert main(["reconstruct", "missing.jpg", "-o", str(tmp_path / "head.npz"), *out]) == 1
    assert "ends in" in capsys.readouterr().err.replace("\n", " ") or words[1].startswith("x.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("axes", [None, *AXES])
def test_every_format_holds_the_posed_head_in_the_axes_that_were_asked_for(head, head_file, tmp_path, axes):
    words = ["--axes", axes] if axes else []
    pose = Pose({"jawOpen": 0.7}, {"neck": np.radians((0, 30, 0))})
    wanted = drive(head, pose.expression, pose.joint_rotations).means[head.gaussians.opacities >= VISIBLE]
    for name, spec in splat_formats().items():
        out = tmp_path / f"head.{name}"
        assert (
            main(
                [
                    "export",
                    str(head_file),
                    "-o",
                    str(out),
                    "--expression",
                    "jawOpen=0.7",
                    "--joint",
                    "neck=0,30,0",
                    *words,
                ]
            )
            == 0
        )
        found = from_file(spec.read(out).splats, axes or spec.axes).means
        assert farthest(wanted, found) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", splat_formats())
def test_the_frames_of_a_performance_hold_the_same_splats_in_the_same_order(head_file, tmp_path, name):
    (tmp_path / "take.csv").write_text(TAKE)
    out = tmp_path / f"frame_####.{name}"
    assert main(["export", str(head_file), "-o", str(out), "--performance", str(tmp_path / "take.csv")]) == 0
    files = sorted(tmp_path.glob("frame_*"))
    assert [file.name for file in files] == [f"frame_000{n}.{name}" for n in (1, 2, 3)]
    spec = splat_formats()[name]
    frames = [spec.read(file).splats for file in files]
    for frame in frames[1:]:
        assert len(frame.means) == len(frames[0].means)
        assert torch.equal(frame.colors, frames[0].colors) and torch.equal(frame.opacities, frames[0].opacities)
        assert 0 < (frame.means - frames[0].means).norm(dim=1).max() < 0.2
    weights = frames[0].scales.prod(dim=1) * frames[0].opacities
    tenth = len(weights) // 10
    assert weights[:tenth].mean() > weights[-tenth:].mean()  # viewers load from the front
    one = tmp_path / f"one.{name}"
    words = ["--expression", "jawOpen=0.5", "eyeBlinkLeft=1", "--joint", f"head=0,{np.degrees(0.3)},0"]
    assert main(["export", str(head_file), "-o", str(one), *words]) == 0
    assert farthest(spec.read(one).splats.means, frames[1].means) < 1e-3


@pytest.mark.slow
def test_a_head_with_motion_of_its_own_keeps_its_splats_through_all_frames(head, tmp_path):
    features = len(head.key_names) + 3 * len(head.joint_names)
    basis, gains = torch.zeros(1, len(head.gaussians), 14), torch.zeros(features, 1)
    basis[..., 10], gains[head.key_names.index("jawOpen"), 0] = -9.0, 1.0  # opacities fall with the jaw
    moving = replace(head, eigenbasis=Eigenbasis(basis, gains))
    paths = [tmp_path / f"{n}.ply" for n in range(3)]
    export_frames(moving, [Pose({"jawOpen": w}) for w in (0.0, 0.5, 1.0)], paths, None, 1.0, Progress())
    frames = [read_ply(path).splats for path in paths]
    assert len({len(frame.means) for frame in frames}) == 1
    assert frames[0].opacities.mean() > 0.5 > 0.01 > frames[2].opacities.mean()


@pytest.mark.slow
def test_a_stopped_sequence_leaves_whole_files_only(head, tmp_path):
    stop = Progress(is_cancelled=lambda: (tmp_path / "2.ply").exists())
    with pytest.raises(Cancelled):
        export_frames(head, [Pose()] * 5, [tmp_path / f"{n}.ply" for n in range(1, 6)], None, 1.0, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.ply", "2.ply"]
    assert read_ply(tmp_path / "2.ply").splats


@pytest.mark.slow
def test_a_thinner_head_has_as_many_splats_as_asked_for(head, tmp_path):
    export(head, Pose(), tmp_path / "all.ply")
    export(head, Pose(), tmp_path / "few.ply", share=0.25)
    many, few = (len(read_ply(tmp_path / name).splats.means) for name in ("all.ply", "few.ply"))
    assert few < 0.5 * many


def test_takes_that_are_none_are_refused_by_row(head_file, tmp_path, capsys):
    take = tmp_path / "take.csv"
    for text, said in (
        ("", "no take"),
        ("a,b\n1,2\n", "no take"),
        ("JawOpen\n0\nx\n", "Row 3"),
        ("JawOpen\n99\n", "Row 2"),
    ):
        take.write_text(text)
        out = str(tmp_path / "f_#.ply")
        assert main(["export", str(head_file), "-o", out, "--performance", str(take)]) == 1
        assert said in capsys.readouterr().err.replace("\n", " ")
    take.write_text(TAKE)
    for name in ("frame.ply", "f#_#.ply"):
        assert main(["export", str(head_file), "-o", str(tmp_path / name), "--performance", str(take)]) == 1
        assert "frame_####.ply" in capsys.readouterr().err.replace("\n", " ")


def test_axes_and_shares_are_for_splats_alone(head, tmp_path, monkeypatch):
    from engine.exchange import exporting
    from engine.exchange.spec import HeadFormat

    monkeypatch.setattr(exporting, "head_formats", lambda: {"toy": HeadFormat("toy", "a toy", lambda *_: None)})
    with pytest.raises(EngineError, match=r"not for head\.toy"):
        export(head, Pose(), tmp_path / "head.toy", axes="unity")
    with pytest.raises(EngineError, match=r"ends in \.ply"):
        export_frames(head, [Pose()], [tmp_path / "1.toy"], None, 1.0, Progress())
